"""Entities that a unit of work starts to track."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from sqlalchemy.orm import make_transient, make_transient_to_detached, object_session
from sqlalchemy.orm.attributes import flag_modified, instance_state, set_committed_value

from domain.errors import UnitOfWorkError
from domain.schema.base import Entity
from domain.schema.stored import is_stored, rewritten_fields
from domain.values.transactions import TRACKED_ELSEWHERE, TRACKED_TWICE

if TYPE_CHECKING:
    from weakref import WeakSet

    from sqlalchemy.ext.asyncio import AsyncSession
    from sqlalchemy.orm import InstanceState

    from repositories.postgres.compiled_statements import Row


def attach(
    session: AsyncSession,
    entity: Entity,
    *,
    assign_tenant: Callable[[Entity], None],
    added: WeakSet[InstanceState[Any]],
) -> None:
    """Track the entity: a new one is inserted, and a stored one updated, with the next flush.

    Args:
        session: the session of the unit of work.
        entity: the entity.
        assign_tenant: assigns the tenant, or raises TenantMismatch.
        added: the new entities of the unit of work.

    Raises:
        UnitOfWorkError: another open unit of work tracks the entity, or this one tracks another
            object of the same row.
    """
    owner = object_session(entity)
    if owner is not None and owner is not session.sync_session:
        raise UnitOfWorkError(TRACKED_ELSEWHERE)
    assign_tenant(entity)
    state = instance_state(entity)
    if owner is None and (state.key is not None or is_stored(entity)):
        _attach_stored(session, entity, state)
        return
    session.add(entity)
    if owner is None:
        added.add(state)


def track_row(session: AsyncSession, kind: type[Entity], row: Row) -> Entity:
    """Return the entity of a row that was read: the tracked one, or a new one that is tracked.

    A statement can have changed the row of a tracked entity, so the entity gets its values. The
    ORM would take twice as long.
    """
    mapper = kind.__mapper__
    key_values = tuple(row[column.name] for column in mapper.primary_key)
    key = mapper.identity_key_from_primary_key(key_values)
    tracked: Entity | None = session.sync_session.identity_map.get(key)
    if tracked is None:
        entity = kind.from_row(row)
        make_transient_to_detached(entity)
        session.add(entity)
        return entity
    refresh(tracked, row)
    return tracked


def refresh(entity: Entity, row: Row) -> None:
    """Give a tracked entity the values of its row; it keeps an embedding that was not read."""
    for name, value in row.items():
        set_committed_value(entity, name, value)


def _attach_stored(session: AsyncSession, entity: Entity, state: InstanceState[Any]) -> None:
    if state.key is not None:
        # SQLAlchemy would write every changed field, also those that only operations change.
        make_transient(entity)
    make_transient_to_detached(entity)
    if state.key is not None and state.key in session.identity_map:
        raise UnitOfWorkError(TRACKED_TWICE)
    session.add(entity)
    for field in rewritten_fields(entity):
        flag_modified(entity, field)
