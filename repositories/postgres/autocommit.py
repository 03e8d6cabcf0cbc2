"""Commits that one statement carries out: it is sent without BEGIN, and PostgreSQL commits it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Connection, DefaultClause, inspect
from sqlalchemy.orm.attributes import get_history, set_committed_value

from domain.errors import Conflict
from domain.schema.registries import in_order
from domain.schema.stored import mark_stored
from domain.values.transactions import ROWS_GONE
from repositories.postgres import direct
from repositories.postgres.compiled_statements import compiled_statement
from repositories.postgres.mapping import has_own_relationships
from repositories.sql.caching import cached_statement
from repositories.sql.upsert import (
    insert_rows,
    parameter_name,
    returned_columns,
    row_values,
    update_row,
    written_columns,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.ext.asyncio import AsyncSession
    from sqlalchemy.orm import Session

    from domain.schema.base import Entity

_INSERT_EVENTS: Final = ("before_insert", "after_insert")
_UPDATE_EVENTS: Final = ("before_update", "after_update")
_SESSION_EVENTS: Final = (
    "before_commit",
    "before_flush",
    "after_flush",
    "after_flush_postexec",
    "after_commit",
    "pending_to_persistent",
    "pending_to_transient",
)


@dataclass(frozen=True, slots=True)
class Insert:
    """The INSERT of new entities, each of another class."""

    entities: Sequence[Entity]

    @property
    def is_divisible(self) -> bool:
        """Whether a flush sends several statements for it."""
        return len(self.entities) > 1

    async def send(self, session: AsyncSession, connection: Connection) -> None:
        """Insert all entities or none, and assign the defaults of the server.

        It raises errors that `repositories.postgres.errors.translate` accepts.
        """
        values: dict[str, Any] = {}
        for row, entity in enumerate(self.entities):
            values |= row_values(type(entity), vars(entity), row)
        statement = insert_rows(tuple(map(type, self.entities)))
        [stored] = await direct.fetch(session, connection, statement, values, commits_itself=True)
        returned = iter(stored.values())
        for entity in self.entities:
            session.expunge(entity)
            for name in _returned_fields(type(entity)):
                value = next(returned)
                if vars(entity)[name] is None:
                    set_committed_value(entity, name, value)
            mark_stored(entity)


@dataclass(frozen=True, slots=True)
class Update:
    """The UPDATE of these fields of an entity."""

    entity: Entity
    fields: Sequence[str]

    @property
    def is_divisible(self) -> bool:
        """Whether a flush sends several statements for it."""
        return False

    async def send(self, session: AsyncSession, connection: Connection) -> None:
        """Update the row of the entity.

        It raises errors that `repositories.postgres.errors.translate` accepts.

        Raises:
            Conflict: the row is gone.
        """
        kind, values = type(self.entity), vars(self.entity)
        names = (*self.fields, *_primary_key(kind))
        columns = kind.__mapper__.columns
        parameters = {parameter_name(columns[name]): values[name] for name in names}
        statement = update_row(kind, tuple(columns[name].name for name in self.fields))
        if not await direct.fetch(session, connection, statement, parameters, commits_itself=True):
            raise Conflict(ROWS_GONE)
        for name in self.fields:
            set_committed_value(self.entity, name, values[name])


def write_of(session: Session) -> Insert | Update | None:
    """Return the one statement that can replace the next flush and its COMMIT, or None.

    The flush stays where a listener of an application could send more statements or waits for the
    commit, and where the ORM computes defaults for missing values.
    """
    new, dirty = session.new, session.dirty
    if session.deleted or bool(new) == bool(dirty) or _has_listeners(session, _SESSION_EVENTS):
        return None
    return _insert_of(list(new)) if new else _update_of(list(dirty))


def _insert_of(new: Sequence[Entity]) -> Insert | None:
    by_kind = {type(entity): entity for entity in new}
    if len(by_kind) < len(new) or not all(map(_is_insertable, new)):
        return None
    return Insert([by_kind[kind] for kind in _in_order(frozenset(by_kind))])


@cached_statement
def _in_order(kinds: frozenset[type[Entity]]) -> Sequence[type[Entity]]:
    # Units of work that write the same tables lock rows in the same order.
    return in_order(sorted(kinds, key=lambda kind: kind.__table__.fullname))


def _is_insertable(entity: Entity) -> bool:
    kind, values = type(entity), vars(entity)
    return (
        _has_plain_columns(kind)
        and not _has_listeners(kind.__mapper__, _INSERT_EVENTS)
        and kind.model_fields.keys() <= values.keys()
        and all(values[name] is not None for name in _defaults_of_the_orm(kind))
    )


def _update_of(dirty: Sequence[Entity]) -> Update | None:
    if len(dirty) > 1:
        return None
    [entity] = dirty
    kind, unmodified = type(entity), inspect(entity).unmodified
    fields = [
        name
        for name in kind.model_fields
        if name not in unmodified and get_history(entity, name).has_changes()
    ]
    if (
        not fields
        or not _has_plain_columns(kind)
        or _has_listeners(kind.__mapper__, _UPDATE_EVENTS)
        or not _primary_key(kind).isdisjoint(fields)
    ):
        return None
    return Update(entity, fields)


def _has_listeners(target: Any, events: Sequence[str]) -> bool:
    return any(getattr(target.dispatch, event) for event in events)


@cached_statement
def _has_plain_columns(entity: type[Entity]) -> bool:
    mapper = entity.__mapper__
    return (
        compiled_statement(insert_rows((entity,))) is not None
        and len(mapper.tables) == 1
        and mapper.version_id_col is None
        and not has_own_relationships(mapper)
        and all(
            column.computed is None
            and column.identity is None
            and column.onupdate is None
            and column.server_onupdate is None
            and isinstance(column.server_default, DefaultClause | None)
            for column in written_columns(entity)
        )
    )


@cached_statement
def _primary_key(entity: type[Entity]) -> frozenset[str]:
    mapper = entity.__mapper__
    return frozenset(mapper.get_property_by_column(one).key for one in mapper.primary_key)


@cached_statement
def _defaults_of_the_orm(entity: type[Entity]) -> tuple[str, ...]:
    return tuple(
        entity.__mapper__.get_property_by_column(column).key
        for column in written_columns(entity)
        if column.default is not None
    )


@cached_statement
def _returned_fields(entity: type[Entity]) -> Sequence[str]:
    mapper = entity.__mapper__
    return [mapper.get_property_by_column(column).key for column in returned_columns(entity)]
