"""The rows of one kind of entity, as its columns.

What is read of each, and how the driver wants it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import UTC
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Index, UniqueConstraint
from sqlmodel.sql.sqltypes import UTCDateTime

from domain.errors import NotLoaded
from repositories.sql import rows, upsert
from repositories.sql.caching import cached_statement

if TYPE_CHECKING:
    from sqlalchemy import Column, Dialect

    from domain.schema.base import Entity


_BLOCK: Final = 500

Values = Mapping[str, Any]
"""What an entity holds, by field."""


class ColumnSet:
    """Some columns of an entity's table."""

    def __init__(
        self,
        entity: type[Entity],
        columns: Sequence[Column[Any]],
        fields: Sequence[str],
        optional: Collection[str],
    ) -> None:
        self._entity = entity
        self.columns = columns
        self._fields = fields
        self._optional = optional

    @classmethod
    def of(cls, entity: type[Entity]) -> ColumnSet:
        """Return all columns that are written."""
        names = [field.name for field in rows.fields(entity, with_embedding=True)]
        optional = {name for name, field in entity.model_fields.items() if field.default is None}
        return cls(entity, upsert.written_columns(entity), names, optional)

    @property
    def names(self) -> list[str]:
        return [column.name for column in self.columns]

    def present(self, entities: Sequence[Values]) -> ColumnSet | None:
        """Return the columns that the entities give, where all give the same.

        The server fills in the others.
        """
        left_out = set()
        for column, field in zip(self.columns, self._fields, strict=True):
            if field in self._optional and column.server_default is not None:
                missing = [values[field] for values in entities].count(None)
                if missing == len(entities):
                    left_out.add(field)
                elif missing:
                    return None
        if not left_out:
            return self
        pairs = [
            pair for pair in zip(self.columns, self._fields, strict=True) if pair[1] not in left_out
        ]
        return ColumnSet(
            self._entity,
            [column for column, _ in pairs],
            [field for _, field in pairs],
            self._optional,
        )

    def arrays(self, entities: Sequence[Values]) -> dict[str, list[Any]]:
        """Return the values of each column, as the parameters of `insert_arrays`."""
        values = zip(*self._read(entities), strict=True)
        return {
            upsert.given(column): list(array)
            for column, array in zip(self.columns, values, strict=True)
        }

    def records(self, entities: Sequence[Values], dialect: Dialect) -> Iterator[Sequence[Any]]:
        """Yield each entity's row as COPY takes it: SQLAlchemy's conversions, which COPY passes by,
        are made here.

        They are looked for in some rows at a time, while the server is at those before.
        """
        kinds = enumerate(zip(self.columns, self._fields, strict=True))
        conversions = [
            (place, *kind, convert)
            for place, kind in kinds
            if (convert := _conversion(kind[0], dialect))
        ]
        for start in range(0, len(entities), _BLOCK):
            block = entities[start : start + _BLOCK]
            needed = {
                place: convert
                for place, column, field, convert in conversions
                if not _in_utc(column, field, block)
            }
            records = self._read(block)
            yield from _converted(records, needed) if needed else records

    def _read(self, entities: Sequence[Values]) -> Iterator[tuple[Any, ...]]:
        try:
            yield from map(itemgetter(*self._fields), entities)
        except KeyError as error:
            raise NotLoaded(self._entity.__name__, str(error.args[0])) from None


@cached_statement
def natural_key(entity: type[Entity]) -> tuple[str, ...]:
    """Return the columns by which the outside world knows a row of the tenant, or none where only its id tells it apart."""
    rules: list[UniqueConstraint | Index] = [
        rule for rule in entity.__table__.constraints if isinstance(rule, UniqueConstraint)
    ]
    rules += [index for index in entity.__table__.indexes if index.unique]
    # Constraints before indexes: those may be of some rows only.
    first = min(rules, key=lambda rule: (isinstance(rule, Index), str(rule.name)), default=None)
    return (
        ()
        if first is None
        else tuple(column.name for column in first.columns if column.name != "tenant")
    )


def sort_key(key: Sequence[str]) -> Callable[[Entity], tuple[Any, ...]]:
    """Return what orders entities as PostgreSQL orders their key, NULLs last."""
    return lambda entity: tuple((vars(entity)[name] is None, vars(entity)[name]) for name in key)


def has_b_trees_alone(entity: type[Entity]) -> bool:
    """Whether every index of the entity's table is a B-tree, so that a row is written in microseconds."""
    kinds = (index.dialect_options["postgresql"]["using"] for index in entity.__table__.indexes)
    return not entity.embedding_fields() and not any(kinds)


def _converted(
    records: Iterator[Sequence[Any]], conversions: Mapping[int, Callable[[Any], Any]]
) -> Iterator[Sequence[Any]]:
    for record in records:
        values = list(record)
        for place, convert in conversions.items():
            values[place] = convert(values[place])
        yield values


def _in_utc(column: Column[Any], field: str, entities: Sequence[Values]) -> bool:
    # As entities keep moments, and the driver takes them: to look is a fifth of converting them
    # once more.
    if not isinstance(column.type, UTCDateTime):
        return False
    return {
        getattr(moment, "tzinfo", None)
        for values in entities
        if (moment := values.get(field)) is not None
    } <= {UTC}


def _conversion(column: Column[Any], dialect: Dialect) -> Callable[[Any], Any] | None:
    convert: Callable[[Any], Any] | None = column.type.dialect_impl(dialect).bind_processor(dialect)
    return convert
