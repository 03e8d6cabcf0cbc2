"""Writes of rows, with the constraints and the locks of PostgreSQL, in its order."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from typing import TYPE_CHECKING, Any

from domain.errors import AlreadyCommitted, AlreadyExists, ReferenceViolated
from domain.values.transactions import OPERATION_KEY
from domain.values.turns import VALUES_PER_TURN, slices
from repositories.fakes.locks import Mode

if TYPE_CHECKING:
    from repositories.fakes.checks import Row
    from repositories.fakes.layers import Layers
    from repositories.fakes.locks import Locks, Owner
    from repositories.fakes.tables import Key, Reference, Table, Unique

Change = Callable[["Row"], Mapping[str, Any]]
"""Returns the new values, by column, of a row that exists."""

Condition = Callable[["Row"], bool]
"""Whether a row is affected. It is tested again after waiting for the row."""


def anything(_: Row) -> bool:
    """Return True: every row is affected."""
    return True


async def only(rows: Sequence[Row], meets: Condition) -> list[Row]:
    """Return the rows that meet the condition, and let other tasks run meanwhile."""
    if meets is anything:
        return list(rows)
    return [row async for some in slices(rows, VALUES_PER_TURN) for row in some if meets(row)]


def always(values: Mapping[str, Any]) -> Change:
    """Return the change that sets these values."""
    return lambda _: values


class Writer:
    """Writes the rows of one unit of work.

    An exception ends the statement, whose changes are then discarded.
    """

    def __init__(
        self, tables: Mapping[str, Table], layers: Layers, locks: Locks, owner: Owner
    ) -> None:
        self._tables = tables
        self._layers = layers
        self._locks = locks
        self._owner = owner

    async def insert(self, table: Table, rows: Sequence[Row]) -> list[Row]:
        """Insert the rows in one statement and return them as stored.

        Their parents are checked at the end of the statement.

        Raises:
            AlreadyExists, ReferenceViolated, CheckViolated, MissingValue, InvalidInput: a row
                violates the schema.
        """
        inserted = [
            await self._insert(table, table.stored(row), table.uniques)
            async for some in slices(rows)
            for row in some
        ]
        await self._require_all_parents(table, inserted)
        return inserted

    async def insert_new(self, table: Table, rows: Sequence[Row], unique: Unique) -> int:
        """Insert the rows whose values of `unique` are new, and return how many.

        If several rows have the same values, the first is inserted.
        """
        inserted = [
            await self._insert(table, row, table.others(unique))
            async for some in slices(rows)
            for row in map(table.stored, some)
            if await self._conflicting(unique, row) is None
        ]
        await self._require_all_parents(table, inserted)
        return len(inserted)

    async def upsert(self, table: Table, row: Row, unique: Unique, change: Change) -> Row:
        """Insert the row, or change the one with the same values of `unique`.

        Return the stored row.
        """
        row = table.stored(row)
        while (key := await self._conflicting(unique, row)) is not None:
            changed = await self.update(table, key, change)
            if changed is not None:
                return changed
        await self._insert(table, row, table.others(unique))
        await self._require_parents(table, row)
        return row

    async def insert_if_free(self, table: Table, row: Row) -> bool:
        """Insert the row unless it violates a unique rule.

        Return whether it was inserted.
        """
        row = table.stored(row)
        for rule in table.uniques:
            if await self._conflicting(rule, row) is not None:
                return False
        self._put(table, row)
        await self._require_parents(table, row)
        return True

    async def lock(
        self, table: Table, key: Key, meets: Condition = anything, *, mode: Mode = Mode.ALONE
    ) -> Row | None:
        """Lock the row and return it, or None if it is gone or does not meet the condition."""
        if self._layers.find(table.name, key) is None:
            return None
        await self._locks.acquire(self._owner, (table.key.name, key), mode)
        row: Row | None = self._layers.find(table.name, key)
        return row if row is not None and meets(row) else None

    async def update(
        self, table: Table, key: Key, change: Change, meets: Condition = anything
    ) -> Row | None:
        """Change the row and return it, or None if it is gone or does not meet the condition."""
        old = await self.lock(table, key, meets, mode=Mode.WRITE)
        if old is None:
            return None
        new = table.stored({**old, **change(old)})
        for rule in (rule for rule in table.uniques if rule.of(new) != rule.of(old)):
            await self._require_new(rule, new, table)
            await self._keep(rule, old)
        self._remove(table, old)
        self._put(table, new)
        if [reference.of(new) for reference in table.references] != [
            reference.of(old) for reference in table.references
        ]:
            await self._require_parents(table, new)
        return new

    async def delete(self, table: Table, keys: Sequence[Key], meets: Condition = anything) -> int:
        """Delete the rows that meet the condition, and return how many.

        The rows that refer to them are deleted at the end of the statement.
        """
        removed = {
            key
            async for some in slices(keys)
            for key in some
            if await self._delete(table, key, meets)
        }
        await self._delete_children(table, removed)
        return len(removed)

    async def _delete(self, table: Table, key: Key, meets: Condition) -> bool:
        row = await self.lock(table, key, meets)
        if row is None:
            return False
        for rule in table.uniques:
            await self._keep(rule, row)
        self._remove(table, row)
        return True

    async def _insert(self, table: Table, row: Row, uniques: Sequence[Unique]) -> Row:
        for rule in uniques:
            await self._require_new(rule, row, table)
        self._put(table, row)
        return row

    async def _require_new(self, rule: Unique, row: Row, table: Table) -> None:
        if await self._conflicting(rule, row) is not None:
            if rule.name == OPERATION_KEY:
                raise AlreadyCommitted(row["operation_id"])
            raise AlreadyExists(constraint=rule.name, table=table.name)

    async def _conflicting(self, rule: Unique, row: Row) -> Key | None:
        # Wait for a unit of work that is inserting or deleting these values. If they are free
        # afterwards, this unit of work takes them.
        if (values := rule.of(row)) is None:
            return None
        await self._locks.wait(self._owner, (rule.name, values), Mode.WRITE)
        key: Key | None = self._layers.find(rule.name, values)
        if key is None:
            self._locks.take(self._owner, (rule.name, values), Mode.ALONE)
        return key

    async def _keep(self, rule: Unique, old: Row) -> None:
        # A rollback restores the old values, so no other unit of work can take them before the end.
        if values := rule.of(old):
            await self._locks.acquire(self._owner, (rule.name, values), Mode.ALONE)

    def _put(self, table: Table, row: Row) -> None:
        for rule in table.uniques:
            if values := rule.of(row):
                self._layers.put(rule.name, values, table.key_of(row))
        self._layers.put(table.name, table.key_of(row), row)

    def _remove(self, table: Table, row: Row) -> None:
        for rule in table.uniques:
            if values := rule.of(row):
                self._layers.put(rule.name, values, None)
        self._layers.put(table.name, table.key_of(row), None)

    async def _require_all_parents(self, table: Table, rows: Sequence[Row]) -> None:
        async for some in slices(rows):
            for row in some:
                await self._require_parents(table, row)

    async def _require_parents(self, table: Table, row: Row) -> None:
        for reference in table.references:
            parent = self._tables[reference.parent]
            if (key := reference.of(row)) is not None and not await self._share(parent, key):
                raise ReferenceViolated(constraint=reference.name, table=table.name)

    async def _share(self, parent: Table, key: Key) -> bool:
        # An uncommitted parent of another unit of work does not exist, and is not waited for.
        if self._layers.find(parent.name, key) is None:
            return False
        await self._locks.acquire(self._owner, (parent.key.name, key), Mode.SHARE)
        return self._layers.find(parent.name, key) is not None

    async def _delete_children(self, parent: Table, keys: Set[Key]) -> None:
        if not keys:
            return
        for table in self._tables.values():
            for reference in table.references:
                if reference.parent == parent.name:
                    rows = self._layers.values(table.name)
                    children = await only(rows, _refers(reference, keys))
                    await self.delete(table, [table.key_of(row) for row in children])


def _refers(reference: Reference, keys: Set[Key]) -> Condition:
    return lambda row: reference.of(row) in keys
