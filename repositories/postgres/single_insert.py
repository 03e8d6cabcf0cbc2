"""A commit that writes one new entity: the INSERT is sent alone, and PostgreSQL commits it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Connection, DefaultClause
from sqlalchemy.orm import object_mapper
from sqlalchemy.orm.attributes import set_committed_value

from domain.schema.stored import mark_stored
from repositories.postgres import direct
from repositories.sql.caching import cached_statement
from repositories.sql.upsert import insert_row_returning, row_values, written_columns

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy.ext.asyncio import AsyncSession
    from sqlalchemy.orm import Session

    from domain.schema.base import Entity

_MAPPER_EVENTS: Final = ("before_insert", "after_insert")
_SESSION_EVENTS: Final = ("before_commit", "before_flush", "after_flush", "after_flush_postexec")


def only_new_entity(session: Session) -> Entity | None:
    """Return the entity whose INSERT is all that the next flush sends, or None.

    A listener of an application can send more, and the ORM computes defaults for missing values.
    """
    new = session.new
    if len(new) != 1 or session.dirty or session.deleted:
        return None
    entity: Entity
    (entity,) = new
    mapper = object_mapper(entity)
    is_heard = any(getattr(mapper.dispatch, event) for event in _MAPPER_EVENTS) or any(
        getattr(session.dispatch, event) for event in _SESSION_EVENTS
    )
    return None if is_heard or not _has_all_values(type(entity), vars(entity)) else entity


def _has_all_values(kind: type[Entity], values: Mapping[str, Any]) -> bool:
    return (
        _has_plain_columns(kind)
        and kind.model_fields.keys() <= values.keys()
        and all(values[name] is not None for name in _defaults_of_the_orm(kind))
    )


async def insert(session: AsyncSession, connection: Connection, entity: Entity) -> None:
    """Insert the entity outside of a transaction, and assign the defaults of the server.

    It raises errors that `repositories.postgres.errors.translate` accepts.
    """
    kind, values = type(entity), vars(entity)
    rows = await direct.fetch(
        session,
        connection,
        insert_row_returning(kind),
        row_values(kind, values),
        commits_itself=True,
    )
    session.expunge(entity)
    for name, value in _defaults(kind, rows[0]).items():
        if values[name] is None:
            set_committed_value(entity, name, value)
    mark_stored(entity)


def _defaults(kind: type[Entity], row: Mapping[str, Any]) -> dict[str, Any]:
    mapper = kind.__mapper__
    return {
        mapper.get_property_by_column(column).key: row[column.name]
        for column in written_columns(kind)
        if column.server_default is not None
    }


@cached_statement
def _has_plain_columns(entity: type[Entity]) -> bool:
    return (
        direct.prepare(insert_row_returning(entity)) is not None
        and len(entity.__mapper__.tables) == 1
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
