"""Rows that are written unless their key exists, or in place of the row that has it."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from sqlalchemy import Column, ColumnElement, DefaultClause, bindparam, func, literal_column
from sqlalchemy.dialects.postgresql import Insert, insert
from sqlalchemy.sql.dml import ReturningInsert

from domain.entity import Entity
from repositories.statements.rows import fields

# A parameter that is named like a column is SQLAlchemy's own.
_GIVEN = "given_"


def row_values(entity: Entity) -> dict[str, Any]:
    """Return the entity's row as the parameters of the statements of this module."""
    values = vars(entity)
    return {f"{_GIVEN}{field.element.name}": values[field.name] for field in fields(type(entity), with_embedding=True)}


def insert_rows(entity: type[Entity]) -> Insert:
    """Insert rows, each with all columns: the server fills in what is None and has a default, so one statement fits all rows."""
    names = [field.element.name for field in fields(entity, with_embedding=True)]
    return insert(entity.__table__).values({name: _given(entity.__table__.c[name]) for name in names})


def insert_new(entity: type[Entity], *key: str, where_given: str | None = None) -> ReturningInsert[Any]:
    """Insert the rows whose key is new, of equals the first, and return the ids of those that were.

    `where_given` names the column without which a row has no key, and is always new.
    """
    table = entity.__table__
    condition = None if where_given is None else table.c[where_given].is_not(None)
    statement = insert_rows(entity).on_conflict_do_nothing(index_elements=["tenant", *key], index_where=condition)
    return statement.returning(table.c.id)


def insert_or_replace(entity: type[Entity], *key: str, keep_if_missing: Collection[str] = ()) -> Insert:
    """Insert the row, or replace all of the row with the same key but its id and `created_at`.

    Columns of `keep_if_missing` stay as they are where the new row has no value.
    """
    statement, table = insert_rows(entity), entity.__table__
    kept = {"tenant", "id", "created_at", *key}
    replaced = {column.name: statement.excluded[column.name] for column in table.c if column.name not in kept}
    merged = {name: func.coalesce(statement.excluded[name], table.c[name]) for name in keep_if_missing}
    return statement.on_conflict_do_update(index_elements=["tenant", *key], set_={**replaced, **merged})


def _given(column: Column[Any]) -> ColumnElement[Any]:
    value = bindparam(f"{_GIVEN}{column.name}", type_=column.type)
    default = column.server_default
    if not isinstance(default, DefaultClause):
        return value
    # A string is the default's literal, as in the column's definition; bound, it would be text whatever the column is.
    return func.coalesce(value, literal_column(f"'{default.arg}'") if isinstance(default.arg, str) else default.arg)
