"""Entities that a unit of work tracks because it read them or they were added to it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any, TypeAlias

from domain import Vector
from domain.errors import UnitOfWorkError
from domain.schema.stored import is_stored, mark_new, mark_stored, rewritten_fields
from domain.values.transactions import TRACKED_ELSEWHERE, TRACKED_TWICE
from domain.values.turns import slices, sorted_in_slices

if TYPE_CHECKING:
    from domain.schema.base import Entity
    from repositories.fakes.checks import Row
    from repositories.fakes.tables import Key, Table


@dataclass(slots=True)
class Tracked:
    """An entity of a row, with the values that it had when it was last read or written."""

    table: Table
    key: Key
    entity: Entity
    row_values: dict[str, Any]

    def changes(self) -> dict[str, Any]:
        """Return the columns that were assigned since, with their new values."""
        values = vars(self.entity)
        fields = (
            (column, values[column.field])
            for column in self.table.columns
            if column.field in values
        )
        return {
            column.name: value for column, value in fields if self._differs(column.field, value)
        }

    def _differs(self, field: str, value: Any) -> bool:
        before = self.row_values.get(field)
        return field not in self.row_values or (value is not before and value != before)


Changed: TypeAlias = tuple[Tracked, Mapping[str, Any]]
"""An entity and the columns that were assigned, with their new values."""


class Tracker:
    """The identity map of one unit of work: one row, one entity."""

    def __init__(self, owners: dict[int, Tracker]) -> None:
        self._pending: dict[int, Entity] = {}
        self._tracked: dict[tuple[str, Key], Tracked] = {}
        self._owners = owners

    def add(self, table: Table, entity: Entity) -> None:
        """Track an entity: a new one is inserted, and a stored one updated, with the next flush.

        Raises:
            UnitOfWorkError: this unit of work tracks another object of the same row.
        """
        if id(entity) in self._owners:
            return
        if is_stored(entity):
            self._add_stored(table, entity)
        else:
            self._pending[id(entity)] = entity
            self._owners[id(entity)] = self

    def require_free(self, entity: Entity) -> None:
        """Return unless another open unit of work tracks the entity.

        Raises:
            UnitOfWorkError: another one does.
        """
        if self._owners.get(id(entity), self) is not self:
            raise UnitOfWorkError(TRACKED_ELSEWHERE)

    def _add_stored(self, table: Table, entity: Entity) -> None:
        values = vars(entity)
        key = tuple(values[name] for name in table.key.columns)
        if (table.name, key) in self._tracked:
            raise UnitOfWorkError(TRACKED_TWICE)
        rewritten = set(rewritten_fields(entity))
        unchanged = {name: value for name, value in values.items() if name not in rewritten}
        self._tracked[table.name, key] = Tracked(table, key, entity, unchanged)
        self._owners[id(entity)] = self

    def release(self) -> None:
        """Stop tracking: other units of work can track the entities."""
        for key in [key for key, owner in self._owners.items() if owner is self]:
            del self._owners[key]

    @property
    def has_pending(self) -> bool:
        """Whether an entity waits to be inserted."""
        return bool(self._pending)

    def pending(self, table: Table) -> list[Entity]:
        """Return the table's entities that wait to be inserted."""
        return [entity for entity in self._pending.values() if type(entity) is table.entity]

    async def changed(self) -> Mapping[str, list[Changed]]:
        """Return the changed entities and their changes by table, in the order of their keys."""
        changed: defaultdict[str, list[Changed]] = defaultdict(list)
        async for some in slices(list(self._tracked.values())):
            for tracked in some:
                if changes := tracked.changes():
                    changed[tracked.table.name].append((tracked, changes))
        return {
            name: await sorted_in_slices(alike, lambda each: each[0].key)
            for name, alike in changed.items()
        }

    def inserted(self, table: Table, entity: Entity, row: Row) -> None:
        """Track an inserted entity, and set the values that the server filled in."""
        del self._pending[id(entity)]
        _fill(table, entity, row, {column.field for column in table.columns})
        self._track(table, entity, row)

    def updated(self, tracked: Tracked, row: Row) -> None:
        """Record that a tracked entity was written, and that `row` is its row now."""
        self._drop(tracked)
        self._track(tracked.table, tracked.entity, row)

    def read(self, table: Table, row: Row, *, with_embedding: bool) -> Entity:
        """Return the entity of the row, which is the same object for each read.

        Its values are refreshed, without the embedding unless `with_embedding` is true.
        """
        tracked = self._tracked.get((table.name, table.key_of(row)))
        if tracked is None:
            return self._track(table, copy_of(table, row, with_embedding=with_embedding), row)
        loaded = vars(tracked.entity).keys()
        self._refresh(
            tracked,
            row,
            loaded | table.embedding_fields if with_embedding else loaded - table.embedding_fields,
        )
        return tracked.entity

    def undo(self, find: Callable[[str, Key], Row | None]) -> None:
        """Drop entities that wait to be inserted, and reset the others to their rows.

        An entity without a row is no longer tracked.
        """
        for entity in self._pending:
            self._owners.pop(entity, None)
        self._pending.clear()
        for tracked in list(self._tracked.values()):
            row = find(tracked.table.name, tracked.key)
            if row is None:
                self._drop(tracked)
                mark_new(tracked.entity)
            else:
                self._refresh(tracked, row, vars(tracked.entity).keys())

    def mark_committed(self) -> None:
        """Record that the rows of all entities are stored, with their tenants."""
        for tracked in self._tracked.values():
            mark_stored(tracked.entity)
            if tracked.table.has_tenant:
                tracked.entity.model_fields_set.add("tenant")

    def _track(self, table: Table, entity: Entity, row: Row) -> Entity:
        key = table.key_of(row)
        self._tracked[table.name, key] = Tracked(table, key, entity, _values(entity, table))
        self._owners[id(entity)] = self
        return entity

    def _drop(self, tracked: Tracked) -> None:
        del self._tracked[tracked.table.name, tracked.key]
        self._owners.pop(id(tracked.entity), None)

    @staticmethod
    def _refresh(tracked: Tracked, row: Row, fields: AbstractSet[str]) -> None:
        _fill(tracked.table, tracked.entity, row, fields)
        tracked.row_values = _values(tracked.entity, tracked.table)


def in_groups(changed: Sequence[Changed]) -> Iterator[list[Changed]]:
    """Yield entities with changes in the same fields, which are written together."""
    for _, alike in groupby(changed, key=lambda each: set(each[1])):
        yield list(alike)


def copy_of(table: Table, row: Row, *, with_embedding: bool) -> Entity:
    """Return a new entity of the row, without its embedding unless `with_embedding` is true."""
    left_out = frozenset() if with_embedding else table.embedding_fields
    values = {
        column.field: _copied(row[column.name])
        for column in table.columns
        if column.field not in left_out
    }
    entity = table.entity.model_construct(**values)
    mark_stored(entity)
    return entity


def _fill(table: Table, entity: Entity, row: Row, fields: AbstractSet[str]) -> None:
    vars(entity).update(
        {
            column.field: _copied(row[column.name])
            for column in table.columns
            if column.field in fields
        }
    )


def _copied(value: Any) -> Any:
    # Everything else in a row is immutable; numpy can write into a vector.
    return Vector(value.to_list()) if isinstance(value, Vector) else value


def _values(entity: Entity, table: Table) -> dict[str, Any]:
    values = vars(entity)
    return {
        column.field: values[column.field] for column in table.columns if column.field in values
    }
