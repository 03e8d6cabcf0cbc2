"""Columns of an entity's table, and the entities' values in the form that the driver takes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import UTC
from operator import attrgetter, itemgetter
from typing import TYPE_CHECKING, Any, Final, TypeVar

from sqlalchemy import Index, UniqueConstraint
from sqlmodel.sql.sqltypes import UTCDateTime

from domain.errors import NotLoaded
from domain.schema.columns import FrozenJsonb
from repositories.sql import rows, upsert
from repositories.sql.caching import cached_statement

if TYPE_CHECKING:
    from sqlalchemy import Column, Dialect

    from domain.schema.base import Entity


_TIME_ZONE: Final = attrgetter("tzinfo")

Values = Mapping[str, Any]
"""Values of an entity, by field."""

E = TypeVar("E", bound="Entity")


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
        """Return the set of all columns that the library writes."""
        names = [field.name for field in rows.fields(entity, with_embedding=True)]
        optional = {name for name, field in entity.model_fields.items() if field.default is None}
        return cls(entity, upsert.written_columns(entity), names, optional)

    @property
    def names(self) -> list[str]:
        return [column.name for column in self.columns]

    @property
    def json_fields(self) -> list[str]:
        """The fields with JSON."""
        pairs = zip(self.columns, self._fields, strict=True)
        return [field for column, field in pairs if isinstance(column.type, FrozenJsonb)]

    def present(
        self, entities: Sequence[E], values: Callable[[E], Values] = vars
    ) -> ColumnSet | None:
        """Return the columns for which the entities have values, or None if they differ in that.

        The server fills in the other columns. `values` returns those of an entity, by field.
        """
        missing_fields = set()
        for column, field in zip(self.columns, self._fields, strict=True):
            if field in self._optional and column.server_default is not None:
                missing = [*map(itemgetter(field), map(values, entities))].count(None)
                if missing == len(entities):
                    missing_fields.add(field)
                elif missing:
                    return None
        if not missing_fields:
            return self
        pairs = [
            pair
            for pair in zip(self.columns, self._fields, strict=True)
            if pair[1] not in missing_fields
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
            upsert.parameter_name(column): list(array)
            for column, array in zip(self.columns, values, strict=True)
        }

    def records(
        self, blocks: Iterable[Sequence[Values]], dialect: Dialect
    ) -> Iterator[Sequence[Any]]:
        """Yield each entity's row in the form that COPY takes.

        COPY bypasses SQLAlchemy's conversions, so this method applies them. It checks which ones
        are necessary for a block of rows at a time, while the server processes the previous block.
        """
        kinds = enumerate(zip(self.columns, self._fields, strict=True))
        conversions = [
            (place, *kind, convert)
            for place, kind in kinds
            if (convert := _conversion(kind[0], dialect))
        ]
        for block in blocks:
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
    """Return the columns of the natural key, without the tenant; none if only the id is unique."""
    rules: list[UniqueConstraint | Index] = [
        rule for rule in entity.__table__.constraints if isinstance(rule, UniqueConstraint)
    ]
    rules += [index for index in entity.__table__.indexes if index.unique]
    # Constraints come first, because a unique index can be partial.
    first = min(rules, key=lambda rule: (isinstance(rule, Index), str(rule.name)), default=None)
    return (
        ()
        if first is None
        else tuple(column.name for column in first.columns if column.name != "tenant")
    )


def sort_key(key: Sequence[str]) -> Callable[[Entity], tuple[Any, ...]]:
    """Return a sort key that orders entities as PostgreSQL orders the columns, NULLs last."""
    return lambda entity: tuple((vars(entity)[name] is None, vars(entity)[name]) for name in key)


def _converted(
    records: Iterator[Sequence[Any]], conversions: Mapping[int, Callable[[Any], Any]]
) -> Iterator[Sequence[Any]]:
    for record in records:
        values = list(record)
        for place, convert in conversions.items():
            values[place] = convert(values[place])
        yield values


def _in_utc(column: Column[Any], field: str, entities: Sequence[Values]) -> bool:
    # Entities store timestamps in UTC, as the driver takes them. This check costs a fifth of
    # another conversion.
    if not isinstance(column.type, UTCDateTime):
        return False
    moments = filter(None, map(itemgetter(field), entities))
    try:
        return {*map(_TIME_ZONE, moments)} <= {UTC}
    except (KeyError, AttributeError):  # raised again with the name of the field
        return False


def _conversion(column: Column[Any], dialect: Dialect) -> Callable[[Any], Any] | None:
    convert: Callable[[Any], Any] | None = column.type.dialect_impl(dialect).bind_processor(dialect)
    return convert
