"""A commit of new entities alone: one statement inserts them, and PostgreSQL commits it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Connection, DefaultClause
from sqlalchemy.orm.attributes import set_committed_value

from domain.schema.stored import mark_stored
from repositories.postgres import direct
from repositories.postgres.mapping import has_own_relationships
from repositories.sql.caching import cached_statement
from repositories.sql.upsert import (
    insert_rows,
    parameter_name,
    row_values,
    written_columns,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy.ext.asyncio import AsyncSession
    from sqlalchemy.orm import Session

    from domain.schema.base import Entity

_MAPPER_EVENTS: Final = ("before_insert", "after_insert")
_SESSION_EVENTS: Final = ("before_commit", "before_flush", "after_flush", "after_flush_postexec")


def insertable(session: Session) -> Sequence[Entity]:
    """Return the new entities if one statement can do all that the next flush does.

    Each is of another class. A listener of an application can send more statements, and the ORM
    computes defaults for missing values, so then the flush writes them.
    """
    new: list[Entity] = list(session.new)
    kinds = {type(entity) for entity in new}
    if session.dirty or session.deleted or len(kinds) < len(new):
        return ()
    if any(getattr(session.dispatch, event) for event in _SESSION_EVENTS):
        return ()
    return new if all(_is_insertable(type(entity), vars(entity)) for entity in new) else ()


def _is_insertable(kind: type[Entity], values: Mapping[str, Any]) -> bool:
    return (
        _has_plain_columns(kind)
        and not any(getattr(kind.__mapper__.dispatch, event) for event in _MAPPER_EVENTS)
        and kind.model_fields.keys() <= values.keys()
        and all(values[name] is not None for name in _defaults_of_the_orm(kind))
    )


async def insert(session: AsyncSession, connection: Connection, entities: Sequence[Entity]) -> None:
    """Insert the entities outside of a transaction, and assign the defaults of the server.

    It raises errors that `repositories.postgres.errors.translate` accepts. All entities are
    inserted, or none.
    """
    values: dict[str, Any] = {}
    for entity in entities:
        kind = type(entity)
        values |= row_values(kind, vars(entity))
    rows = await direct.fetch(
        session,
        connection,
        insert_rows(tuple(map(type, entities))),
        values,
        commits_itself=True,
    )
    for entity in entities:
        session.expunge(entity)
        for name, label in _defaults_of_the_server(type(entity)).items():
            if vars(entity)[name] is None:
                set_committed_value(entity, name, rows[0][label])
        mark_stored(entity)


@cached_statement
def _has_plain_columns(entity: type[Entity]) -> bool:
    mapper = entity.__mapper__
    return (
        direct.prepare(insert_rows((entity,))) is not None
        and len(mapper.tables) == 1
        and not has_own_relationships(mapper)
        and all(
            column.computed is None
            and column.identity is None
            and isinstance(column.server_default, DefaultClause | None)
            for column in written_columns(entity)
        )
    )


@cached_statement
def _defaults_of_the_orm(entity: type[Entity]) -> tuple[str, ...]:
    return tuple(
        entity.__mapper__.get_property_by_column(column).key
        for column in written_columns(entity)
        if column.default is not None
    )


@cached_statement
def _defaults_of_the_server(entity: type[Entity]) -> Mapping[str, str]:
    """Return the name of the field, and that of the selected column, for each default."""
    return {
        entity.__mapper__.get_property_by_column(column).key: parameter_name(column)
        for column in written_columns(entity)
        if column.server_default is not None
    }
