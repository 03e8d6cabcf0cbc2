"""The rows of one kind of entity, as its columns: what is read of each, and how the driver wants it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from sqlalchemy import Index, UniqueConstraint

from domain.errors import NotLoaded
from repositories.statements import rows, upsert
from repositories.statements.keeping import kept

if TYPE_CHECKING:
    from sqlalchemy import Column, Dialect

    from domain.entity import Entity


class Layout:
    """Some columns of an entity's table."""

    def __init__(self, columns: Sequence[Column[Any]], fields: Sequence[str], optional: Collection[str]) -> None:
        self.columns = columns
        self._fields = fields
        self._optional = optional

    @classmethod
    def of(cls, entity: type[Entity]) -> Layout:
        """Return all columns that are written."""
        names = [field.name for field in rows.fields(entity, with_embedding=True)]
        optional = {name for name, field in entity.model_fields.items() if field.default is None}
        return cls(upsert.written_columns(entity), names, optional)

    @property
    def names(self) -> list[str]:
        return [column.name for column in self.columns]

    def given(self, entities: Sequence[Entity]) -> Layout | None:
        """Return the columns that the entities give, where all give the same; the server fills in the others."""
        left_out = set()
        for column, field in zip(self.columns, self._fields, strict=True):
            if field in self._optional and column.server_default is not None:
                missing = [vars(entity)[field] for entity in entities].count(None)
                if missing == len(entities):
                    left_out.add(field)
                elif missing:
                    return None
        if not left_out:
            return self
        pairs = [pair for pair in zip(self.columns, self._fields, strict=True) if pair[1] not in left_out]
        return Layout([column for column, _ in pairs], [field for _, field in pairs], self._optional)

    def arrays(self, entities: Sequence[Entity]) -> dict[str, list[Any]]:
        """Return the values of each column, as the parameters of `insert_arrays`."""
        values = zip(*self._read(entities), strict=True)
        return {upsert.given(column): list(array) for column, array in zip(self.columns, values, strict=True)}

    def records(self, entities: Sequence[Entity], dialect: Dialect) -> Iterator[Sequence[Any]]:
        """Yield each entity's row as COPY takes it: SQLAlchemy's conversions, which COPY passes by, are made here."""
        converted = [(place, convert) for place, column in enumerate(self.columns) if (convert := _conversion(column, dialect))]
        for record in self._read(entities):
            if not converted:
                yield record
                continue
            values = list(record)
            for place, convert in converted:
                values[place] = convert(values[place])
            yield values

    def _read(self, entities: Sequence[Entity]) -> Iterator[tuple[Any, ...]]:
        read = itemgetter(*self._fields)
        for entity in entities:
            try:
                yield read(vars(entity))
            except KeyError as error:
                raise NotLoaded(type(entity).__name__, str(error.args[0])) from None


@kept
def natural_key(entity: type[Entity]) -> tuple[str, ...]:
    """Return the columns by which the outside world knows a row of the tenant, or none where only its id tells it apart."""
    rules: list[UniqueConstraint | Index] = [rule for rule in entity.__table__.constraints if isinstance(rule, UniqueConstraint)]
    rules += [index for index in entity.__table__.indexes if index.unique]
    # Constraints before indexes: those may be of some rows only.
    first = min(rules, key=lambda rule: (isinstance(rule, Index), str(rule.name)), default=None)
    return () if first is None else tuple(column.name for column in first.columns if column.name != "tenant")


def sort_key(key: Sequence[str]) -> Callable[[Entity], tuple[Any, ...]]:
    """Return what orders entities as PostgreSQL orders their key, NULLs last."""
    return lambda entity: tuple((vars(entity)[name] is None, vars(entity)[name]) for name in key)


def _conversion(column: Column[Any], dialect: Dialect) -> Callable[[Any], Any] | None:
    convert: Callable[[Any], Any] | None = column.type.dialect_impl(dialect).bind_processor(dialect)
    return convert
