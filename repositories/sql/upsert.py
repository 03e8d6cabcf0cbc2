"""Rows that are written unless their key exists, or in place of the row that has it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import Column, ColumnElement, DefaultClause, bindparam, func, literal_column
from sqlalchemy.dialects.postgresql import Insert, insert

from domain.schema.base import Entity
from repositories.sql.caching import cached_statement
from repositories.sql.rows import fields


@cached_statement
def written_columns(entity: type[Entity]) -> Sequence[Column[Any]]:
    """Return the columns that are written: those of the fields, the embedding included."""
    columns = entity.__table__.c
    return tuple(columns[field.element.name] for field in fields(entity, with_embedding=True))


def given(column: Column[Any]) -> str:
    """Return the name of the parameter for a column.

    One that is named like the column is SQLAlchemy's own.
    """
    return f"given_{column.name}"


def row_values(entity: Entity) -> dict[str, Any]:
    """Return the entity's row as the parameters of `insert_row`."""
    values = vars(entity)
    return {
        f"given_{field.element.name}": values[field.name]
        for field in fields(type(entity), with_embedding=True)
    }


@cached_statement
def insert_row(entity: type[Entity]) -> Insert:
    """Insert a row with all columns.

    The server fills in what is None and has a default, so one statement fits all rows.
    """
    columns = written_columns(entity)
    values = {
        column.name: or_default(column, bindparam(given(column), type_=column.type))
        for column in columns
    }
    return insert(entity.__table__).values(values)


def if_new(statement: Insert, key: Collection[str], *, where_given: str | None = None) -> Insert:
    """Let the statement insert the rows whose key is new, of equals the first.

    `where_given` names the column without which a row has no key, and is always new.
    """
    condition = None if where_given is None else statement.table.c[where_given].is_not(None)
    return statement.on_conflict_do_nothing(index_elements=["tenant", *key], index_where=condition)


def or_replace(
    statement: Insert, key: Collection[str], *, keep_if_missing: Collection[str] = ()
) -> Insert:
    """Let the statement insert a row, or replace all of the row with the same key but its id and
    `created_at`.

    Columns of `keep_if_missing` stay as they are where the new row has no value.
    """
    columns = statement.table.c
    kept = {"tenant", "id", "created_at", *key}
    replaced = {
        column.name: statement.excluded[column.name]
        for column in columns
        if column.name not in kept
    }
    merged = {
        name: func.coalesce(statement.excluded[name], columns[name]) for name in keep_if_missing
    }
    return statement.on_conflict_do_update(
        index_elements=["tenant", *key], set_={**replaced, **merged}
    )


def or_default(column: Column[Any], value: ColumnElement[Any]) -> ColumnElement[Any]:
    """Return the value, or what the server fills in for the column where it is NULL."""
    default = column.server_default
    if not isinstance(default, DefaultClause):
        return value
    # A string is the default's literal, as in the column's definition; bound, it would be text
    # whatever the column is.
    return func.coalesce(
        value, literal_column(f"'{default.arg}'") if isinstance(default.arg, str) else default.arg
    )
