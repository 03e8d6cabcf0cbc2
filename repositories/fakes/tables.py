"""The columns, keys and constraints of a table, read from its entity."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache, cached_property
from typing import Any, TypeAlias

from domain import metadata
from domain.errors import CheckViolated, InvalidEntity, MissingValue, NotLoaded, UnexpectedFailure
from domain.schema.base import Entity
from domain.schema.constraints import constraint_name
from domain.schema.registries import mappers
from domain.values.embedding import DEFAULT_DIMENSIONS
from domain.values.filter_rules import column_name
from repositories.fakes.checks import Check, Row, read_check
from repositories.fakes.values import Store, UnknownType, storing

Key: TypeAlias = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Unique:
    """A primary key, a unique constraint, or a unique index with the predicate `where`.

    NULLs are distinct.
    """

    name: str
    columns: tuple[str, ...]
    where: Check | None = None

    def of(self, row: Row) -> Key | None:
        """Return the row's values, or None if the row cannot conflict.

        It cannot if the index does not contain it or a value is missing.
        """
        if self.where is not None and not self.where(row):
            return None
        values = tuple(row[column] for column in self.columns)
        return None if None in values else values


@dataclass(frozen=True, slots=True)
class Reference:
    """A foreign key to the primary key of `parent`."""

    name: str
    columns: tuple[str, ...]
    parent: str

    def of(self, row: Row) -> Key | None:
        """Return the parent's key, or None if the row has no parent."""
        values = tuple(row[column] for column in self.columns)
        return None if None in values else values


@dataclass(frozen=True, slots=True)
class Column:
    """One column, with functions for the stored value and for the default."""

    name: str
    field: str
    nullable: bool
    store: Store
    default: Callable[[datetime], Any]


@dataclass(frozen=True)
class Table:
    """The columns and constraints of one table.

    `uniques` begin with the primary key. `checks` have the order in which PostgreSQL tests them.
    """

    entity: type[Entity]
    name: str
    columns: tuple[Column, ...]
    uniques: tuple[Unique, ...]
    checks: tuple[tuple[str, Check], ...]
    references: tuple[Reference, ...]

    @cached_property
    def key(self) -> Unique:
        return self.uniques[0]

    @property
    def natural_key(self) -> Unique | None:
        """The first unique rule beside the primary key, in whose order rows are written."""
        return self.uniques[1] if len(self.uniques) > 1 else None

    @cached_property
    def has_tenant(self) -> bool:
        return "tenant" in self.entity.model_fields

    @cached_property
    def embedding_fields(self) -> frozenset[str]:
        return frozenset(self.entity.embedding_fields())

    def key_of(self, row: Row) -> Key:
        """Return the row's primary key."""
        return tuple(row[column] for column in self.key.columns)

    def unique_over(self, *columns: str) -> Unique:
        """Return the unique rule over these columns and the tenant."""
        names = set(columns)
        return next(unique for unique in self.uniques if set(unique.columns) - {"tenant"} == names)

    def others(self, unique: Unique) -> tuple[Unique, ...]:
        """Return the unique rules beside this one."""
        return tuple(rule for rule in self.uniques if rule is not unique)

    def row_of(self, entity: Entity, now: datetime) -> dict[str, Any]:
        """Return the entity's values by column, with defaults where it has none.

        Raises:
            NotLoaded: the entity was read without its embedding.
        """
        values = vars(entity)
        for field in type(entity).embedding_fields():
            if field not in values:
                raise NotLoaded(type(entity).__name__, field)
        pairs = ((column, values.get(column.field)) for column in self.columns)
        return {
            column.name: column.default(now) if value is None else value for column, value in pairs
        }

    def stored(self, row: Row) -> dict[str, Any]:
        """Return the row as the table stores it.

        Raises:
            InvalidInput, MissingValue, CheckViolated: a value does not fit its column, is missing,
                or violates a CHECK.
        """
        stored = {column.name: column.store(row[column.name]) for column in self.columns}
        for column in self.columns:
            if stored[column.name] is None and not column.nullable:
                raise MissingValue(constraint=None, table=self.name, column=column.name)
        for name, holds in self.checks:
            if holds(stored) is False:
                raise CheckViolated(constraint=name, table=self.name)
        return stored


@cache
def read_tables(dimensions: int, application: tuple[type[Entity], ...] = ()) -> Mapping[str, Table]:
    """Return the tables of the library and of the application's entities, parents first.

    Raises:
        UnexpectedFailure: an entity of the library has a column type, a CHECK or an index that the
            fakes cannot imitate.
        InvalidEntity: an entity of the application has.
    """
    library = {mapper.class_.__tablename__: mapper.class_ for mapper in mappers.mappers}
    return {
        **{table.name: _read(library[table.name], dimensions) for table in metadata.sorted_tables},
        **{
            entity.__tablename__: read_application_table(entity, dimensions)
            for entity in application
        },
    }


def read_application_table(entity: type[Entity], dimensions: int = DEFAULT_DIMENSIONS) -> Table:
    """Return the table of an application's own entity.

    Raises:
        InvalidEntity: it has a column type, a CHECK or an index that the fakes cannot imitate.
    """
    try:
        return _read(entity, dimensions)
    except UnknownType as failure:
        raise InvalidEntity(
            f"{entity.__name__}: {failure}; use text, a number, a flag, a datetime, a date, a UUID,"
            " bytes, a StrEnum, JSON or an array of these"
        ) from None
    except UnexpectedFailure as failure:
        raise InvalidEntity(
            f"{entity.__name__}: {failure}; express the rule with the bounds of a field, or check"
            " it in a pydantic validator"
        ) from None


def _read(entity: type[Entity], dimensions: int) -> Table:
    constraints = entity.__table__.constraints
    checks = [(constraint_name(rule), str(getattr(rule, "sqltext", ""))) for rule in constraints]
    return Table(
        entity=entity,
        name=entity.__table__.name,
        columns=tuple(_columns(entity, dimensions)),
        uniques=tuple(_uniques(entity)),
        checks=tuple(sorted((name, read_check(sql)) for name, sql in checks if sql)),
        references=tuple(_references(entity)),
    )


def _columns(entity: type[Entity], dimensions: int) -> Iterator[Column]:
    for name, field in entity.model_fields.items():
        column = entity.__table__.columns[column_name(entity, name)]
        server_default = getattr(column.server_default, "arg", None)
        default = _now if str(server_default) == "now()" else _constant(field)
        yield Column(
            column.name,
            name,
            bool(column.nullable),
            storing(column.name, column.type, dimensions=dimensions),
            default,
        )


def _now(now: datetime) -> datetime:
    return now


def _constant(field: Any) -> Callable[[datetime], Any]:
    return lambda _: None if field.is_required() else field.get_default(call_default_factory=True)


def _uniques(entity: type[Entity]) -> Iterator[Unique]:
    table = entity.__table__
    yield Unique(
        constraint_name(table.primary_key), tuple(column.name for column in table.primary_key)
    )
    for constraint in sorted(table.constraints, key=constraint_name):
        if constraint.__visit_name__ == "unique_constraint":
            yield Unique(
                constraint_name(constraint),
                tuple(column.name for column in getattr(constraint, "columns", ())),
            )
    for index in table.indexes:
        if index.unique:
            condition = index.dialect_options["postgresql"]["where"]
            where = None if condition is None else read_check(str(condition))
            yield Unique(
                constraint_name(index), tuple(column.name for column in index.columns), where
            )


def _references(entity: type[Entity]) -> Iterator[Reference]:
    # PostgreSQL checks them in the order of their creation, which is that of their names.
    for key in sorted(entity.__table__.foreign_key_constraints, key=constraint_name):
        if key.ondelete != "CASCADE" or [link.column for link in key.elements] != list(
            key.referred_table.primary_key
        ):
            raise UnexpectedFailure(f"the fakes cannot enforce the foreign key {key.name}")
        yield Reference(
            constraint_name(key),
            tuple(column.name for column in key.columns),
            key.referred_table.name,
        )
