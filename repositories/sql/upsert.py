"""Writes of single rows: inserts, also of rows whose keys can exist already, and updates."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    DefaultClause,
    Select,
    bindparam,
    func,
    literal_column,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import Insert, insert

from domain.errors import NotLoaded
from domain.schema.base import Entity
from repositories.sql.caching import cached_statement
from repositories.sql.rows import fields


@cached_statement
def written_columns(entity: type[Entity]) -> Sequence[Column[Any]]:
    """Return the columns of the entity's fields, the embedding included."""
    columns = entity.__table__.c
    return tuple(columns[field.element.name] for field in fields(entity, with_embedding=True))


def parameter_name(column: Column[Any], row: int = 0) -> str:
    """Return the name of the parameter for a column of a row.

    SQLAlchemy reserves parameters with the name of the column.
    """
    return f"new_{row}_{column.name}"


def row_values(entity: type[Entity], values: Mapping[str, Any], row: int = 0) -> dict[str, Any]:
    """Return the values of an entity, by field, as the parameters of `insert_row`.

    Args:
        entity: the class of the entity.
        values: the values.
        row: the position of the row in the statement, for `insert_rows`.

    Raises:
        NotLoaded: the entity was read without its embedding.
    """
    try:
        return {
            parameter_name(column, row): values[field.name]
            for column, field in zip(
                written_columns(entity), fields(entity, with_embedding=True), strict=True
            )
        }
    except KeyError as error:
        raise NotLoaded(entity.__name__, str(error.args[0])) from None


@cached_statement
def insert_row(entity: type[Entity]) -> Insert:
    """Return the statement that inserts a row with all columns.

    For None, the server uses the column's default, so one statement fits all rows.
    """
    return _insert_row(entity, 0)


def _insert_row(entity: type[Entity], row: int) -> Insert:
    columns = written_columns(entity)
    values = {
        column.name: or_default(column, bindparam(parameter_name(column, row), type_=column.type))
        for column in columns
    }
    return insert(entity.__table__).values(values)


@cached_statement
def insert_rows(entities: tuple[type[Entity], ...]) -> Select[Any]:
    """Return the statement that inserts a row of each of these entities.

    It selects the `returned_columns` of each, in one row.
    """
    selected: list[ColumnElement[Any]] = []
    for row, entity in enumerate(entities):
        columns = returned_columns(entity)
        # An `insert_row` that was executed does not do: SQLAlchemy stores in it that it returns no
        # columns, and `returning` copies that.
        inserted = _insert_row(entity, row).returning(*columns).cte(f"new_{row}")
        # SQLAlchemy and PostgreSQL shorten names of more than 63 characters.
        selected += [
            inserted.c[column.name].label(f"value_{number}")
            for number, column in enumerate(columns, len(selected))
        ]
    return select(*selected)


@cached_statement
def returned_columns(entity: type[Entity]) -> Sequence[Column[Any]]:
    """Return the primary key, and the columns for which the server has a default."""
    defaults = [column for column in written_columns(entity) if column.server_default is not None]
    return tuple(dict.fromkeys((*entity.__table__.primary_key, *defaults)))


@cached_statement
def update_row(entity: type[Entity], changed: tuple[str, ...]) -> Select[Any]:
    """Return the statement that sets these columns of a row, and returns its id.

    `parameter_name` names the parameters: the changed columns, and the primary key.
    """
    columns = entity.__table__.c
    parameters = {
        column.name: bindparam(parameter_name(column), type_=column.type) for column in columns
    }
    key = entity.__table__.primary_key
    written = (
        update(entity.__table__)
        .where(*(column == parameters[column.name] for column in key))
        .values({name: parameters[name] for name in changed})
        .returning(columns.id)
        .cte("changed")
    )
    return select(written.c.id)


def if_new(statement: Insert, key: Collection[str], *, where_not_null: str | None = None) -> Insert:
    """Return the statement that inserts the rows whose key is new; of equal keys, the first.

    Args:
        statement: the statement that inserts the rows.
        key: columns of the unique rule, without the tenant.
        where_not_null: column of a partial unique index; a row without it is always new.
    """
    condition = None if where_not_null is None else statement.table.c[where_not_null].is_not(None)
    return statement.on_conflict_do_nothing(index_elements=["tenant", *key], index_where=condition)


def or_replace(
    statement: Insert, key: Collection[str], *, keep_if_missing: Collection[str] = ()
) -> Insert:
    """Return the statement that inserts a row or replaces the row with the same key.

    The replaced row keeps its id and `created_at`.

    Args:
        statement: the statement that inserts the row.
        key: columns of the unique rule, without the tenant.
        keep_if_missing: columns that keep their value if the new row has none.
    """
    columns = statement.table.c
    unchanged = {"tenant", "id", "created_at", *key}
    replaced = {
        column.name: statement.excluded[column.name]
        for column in columns
        if column.name not in unchanged
    }
    merged = {
        name: func.coalesce(statement.excluded[name], columns[name]) for name in keep_if_missing
    }
    return statement.on_conflict_do_update(
        index_elements=["tenant", *key], set_={**replaced, **merged}
    )


def or_default(column: Column[Any], value: ColumnElement[Any]) -> ColumnElement[Any]:
    """Return SQL for the value, or for the column's default if the value is NULL."""
    default = column.server_default
    if not isinstance(default, DefaultClause):
        return value
    if not isinstance(default.arg, str):
        return func.coalesce(value, default.arg)
    # A string is the text of a literal, as in the column's definition. As a bound parameter it
    # would have the type text.
    literal = default.arg.replace("'", "''")
    return func.coalesce(value, literal_column(f"'{literal}'"))
