"""A transaction of a fake database: reads, writes, savepoints and failed statements."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar, cast

from domain.errors import (
    Conflict,
    InvalidInput,
    TenantMismatch,
    TransactionAborted,
    UnitOfWorkClosed,
    UnitOfWorkError,
)
from domain.schema.base import Entity
from domain.schema.stored import CommitMark, is_stored
from domain.values.exclusive_use import ExclusiveUse
from domain.values.savepoints import Savepoint
from domain.values.transactions import ROWS_GONE, Isolation
from domain.values.turns import VALUES_PER_TURN, slices
from repositories.fakes.layers import Layers
from repositories.fakes.locks import Owner
from repositories.fakes.tenant_rows import TenantRows
from repositories.fakes.tracking import Changed, Tracker, copy_of, in_groups
from repositories.fakes.writes import Writer, always

if TYPE_CHECKING:
    from domain.values.plans import SearchPlan
    from repositories.fakes.checks import Row
    from repositories.fakes.state import State
    from repositories.fakes.tables import Table

E = TypeVar("E", bound=Entity)


class Transaction:
    """The transaction of one unit of work, through which it reads and writes all rows.

    With READ COMMITTED, each statement sees the rows committed when it begins. Above it, all
    statements see the rows committed when the first begins. A transaction above READ COMMITTED that
    changed something conflicts with every other commit since, which is more often than on
    PostgreSQL, because PostgreSQL knows what was read. A failure outside a savepoint aborts the
    transaction.

    Args:
        state: state of the database.
        tenant: tenant of the unit of work.
        tracks: whether changes of the entities that it reads are written.
        isolation: isolation level.
    """

    def __init__(
        self,
        state: State,
        *,
        tenant: str,
        tracks: bool,
        isolation: Isolation = Isolation.READ_COMMITTED,
    ) -> None:
        self.state = state
        self.tenant = tenant
        self.tracks = tracks
        self.began = 0
        self.layers = Layers(state.committed)
        self.plans: list[SearchPlan] | None = None
        self._sees_one_moment = isolation is not Isolation.READ_COMMITTED
        self._seen: int | None = None
        self._tracker = Tracker(state.trackers)
        self.mark = CommitMark()
        self._now: datetime | None = None
        self.committed = False
        self._open = False
        self._aborted = False
        self._interrupted = False
        self._use = ExclusiveUse()
        self._can_be_sent = True
        self._savepoints: list[int] = []
        self._open_savepoints: list[Savepoint] = []

    @property
    def is_open(self) -> bool:
        """Whether the transaction has begun and not ended."""
        return self._open

    @property
    def now(self) -> datetime:
        """The time at which the first statement began, for all statements."""
        if self._now is None:
            self._now = self.state.clock().astimezone(UTC)
        return self._now

    @cached_property
    def rows(self) -> Writer:
        return Writer(self.state.tables, self.layers, self.state.locks, self.owner)

    @cached_property
    def tenant_rows(self) -> TenantRows:
        return TenantRows(self.layers, self.rows, self.tenant)

    def begin(self) -> None:
        """Begin the transaction, which belongs to the running event loop."""
        self._use.require_own_loop()
        self.owner = Owner()
        self.began = next(self.state.ticks)
        self._open = True
        self.state.open_units[self.tracks] += 1

    def require_open(self) -> None:
        """Raise UnitOfWorkClosed unless the unit of work is open."""
        if not self._open:
            raise UnitOfWorkClosed(
                "this unit of work is not open: use it inside its `async with`, before it ends"
            )

    def _require_usable(self) -> None:
        self.require_open()
        if self._aborted:
            raise TransactionAborted(
                "a statement failed before: leave this unit of work, and nothing of it is kept"
            )

    def assign_tenant(self, entity: E) -> E:
        """Assign this tenant to the entity, or raise TenantMismatch if it has another one."""
        if "tenant" in type(entity).model_fields:
            values = vars(entity)
            is_assigned = "tenant" in entity.model_fields_set or is_stored(entity)
            if is_assigned and values["tenant"] != self.tenant:
                raise TenantMismatch(
                    f"a {type(entity).__name__} of another tenant was passed to this unit of work"
                )
            values["tenant"] = self.tenant
        return entity

    def add(self, entity: E) -> E:
        """Assign the tenant and track the entity: a new one is inserted, a stored one updated.

        Raises:
            TenantMismatch: the entity belongs to another tenant.
            UnitOfWorkError: another open unit of work tracks it, or this one tracks another object
                of the same row.
        """
        self.require_open()
        self._tracker.require_free(entity)
        table = self.state.tables[entity.__tablename__]
        self._tracker.add(table, self.assign_tenant(entity))
        return entity

    def abort(self) -> None:
        """Abort the transaction, as a failed statement does."""
        self._aborted = True

    @asynccontextmanager
    async def statement(self) -> AsyncIterator[None]:
        """Write added and changed entities, then run the block. A failure aborts the transaction.

        Other tasks run first, as they do during a statement of a server. Otherwise tests with a
        fake could not show races. A cancellation, which ends the connection to a server, also
        aborts the transaction around a savepoint.

        Raises:
            UnitOfWorkClosed: the unit of work was not entered yet, or has ended.
            TransactionAborted: a statement failed before.
        """
        self._require_usable()
        with self._use.use(), self._aborted_by_failure():
            await asyncio.sleep(0)
            self._require_usable()
            self._look()
            await self._flush()
            if not self._can_be_sent:
                raise InvalidInput("a value does not fit the type of its column")
            yield

    @contextmanager
    def binding(self, *, sendable: bool) -> Iterator[None]:
        """Set whether the arguments of the statements in the block can be sent to a server."""
        before, self._can_be_sent = self._can_be_sent, sendable
        try:
            yield
        finally:
            self._can_be_sent = before

    def _look(self) -> None:
        if self._sees_one_moment and self._seen is None:
            self._seen = self.state.progress.commits
            self.layers.freeze()

    def _require_nothing_new(self) -> None:
        if self._seen not in (None, self.state.progress.commits) and self.layers.changes_anything:
            raise Conflict("another transaction changed the same rows", sqlstate="40001")

    @contextmanager
    def _aborted_by_failure(self) -> Iterator[None]:
        try:
            yield
        except BaseException as error:
            self._aborted = True
            self._interrupted |= not isinstance(error, Exception)
            self.state.locks.release(
                self.owner, since=self._savepoints[-1] if self._savepoints else 0
            )
            raise

    async def flush(self) -> None:
        """Write added and changed entities; without any, nothing is sent."""
        self._require_usable()
        with self._use.use():
            has_changes = self._tracker.has_pending or bool(await self._tracker.changed())
        if has_changes:
            async with self.statement():
                pass

    async def _flush(self) -> None:
        gone = False
        changed_by_table = await self._tracker.changed()
        for table in self.state.tables.values():
            for alike in in_groups(changed_by_table.get(table.name, [])):
                gone |= not await self._update_all(table, alike)
            if pending := self._tracker.pending(table):
                inserted = await self.rows.insert(table, await self.rows_of(table, pending))
                written = list(zip(pending, inserted, strict=True))
                async for some in slices(written):
                    for entity, row in some:
                        self._tracker.inserted(table, entity, row)
        if gone:
            raise Conflict(ROWS_GONE)

    async def _update_all(self, table: Table, changed: Sequence[Changed]) -> bool:
        """Update the rows; return whether all of them exist.

        Raises:
            Conflict: there is one row, and it does not exist.
        """
        there = True
        async for some in slices(changed):
            for tracked, changes in some:
                row = await self.rows.update(table, tracked.key, always(changes))
                if row is not None:
                    self._tracker.updated(tracked, row)
                elif len(changed) == 1:
                    raise Conflict(ROWS_GONE)
                else:
                    there = False
        return there

    async def rows_of(self, table: Table, entities: Sequence[Entity]) -> list[Row]:
        """Return the rows of new entities, with the defaults of the table."""
        now = self.now
        return [table.row_of(entity, now) async for some in slices(entities) for entity in some]

    @contextmanager
    def explaining(self) -> Iterator[list[SearchPlan]]:
        """Collect the plans of the searches in the block."""
        before, self.plans = self.plans, []
        try:
            yield self.plans
        finally:
            self.plans = before

    def entities(
        self, table: Table, rows: Iterable[Row], *, with_embedding: bool = False
    ) -> list[Entity]:
        """Return the rows as entities, which are tracked if the transaction tracks."""
        if not self.tracks:
            return [copy_of(table, row, with_embedding=with_embedding) for row in rows]
        return [self._tracker.read(table, row, with_embedding=with_embedding) for row in rows]

    def savepoint(self) -> Savepoint:
        """Return a block that is rolled back alone.

        An exception that leaves the block rolls it back, and the transaction stays usable.
        """
        return Savepoint(self._savepoint(), self._open_savepoints)

    @asynccontextmanager
    async def _savepoint(self) -> AsyncIterator[None]:
        await self.flush()
        await self._let_others_run()
        self.layers.push()
        self._savepoints.append(len(self.owner.locks))
        try:
            yield
            await self.flush()
            await self._let_others_run()
        except BaseException:
            if self._open:
                self._undo()
            raise
        self._savepoints.pop()
        self.layers.merge()

    async def _let_others_run(self) -> None:
        with self._use.use(), self._aborted_by_failure():
            await asyncio.sleep(0)

    def _undo(self) -> None:
        self.layers.discard()
        self.state.locks.release(self.owner, since=self._savepoints.pop())
        self._aborted = self._interrupted
        self._tracker.undo(lambda name, key: cast("Row | None", self.layers.find(name, key)))

    async def commit(self) -> None:
        """Write added and changed entities, and commit all changes."""
        self._require_usable()
        if self._savepoints:
            raise UnitOfWorkError("a savepoint is open: leave it before the commit")
        with self._use.use(), self._aborted_by_failure():
            self._look()
            await self._flush()
            self._require_nothing_new()
        self.state.progress.commits += self.layers.changes_anything
        changed = self.layers.merge()
        self.committed = True
        self._tracker.mark_committed()
        self.mark.committed = True
        await self.close()
        await self.layers.forget_removed(changed)
        # A cancellation during the commit is raised after it.
        await asyncio.sleep(0)

    async def close(self) -> None:
        """End the transaction, and let other tasks run while it releases many locks.

        Uncommitted changes are discarded. Entities keep their values and can be used again.
        """
        try:
            while self._open and not self._use.is_foreign_loop:
                locks = len(self.owner.locks)
                if locks <= VALUES_PER_TURN:
                    break
                self.state.locks.release(self.owner, since=locks - VALUES_PER_TURN)
                await asyncio.sleep(0)
        finally:
            self._end()

    def _end(self) -> None:
        if not self._open:
            return
        self._open = False
        self.state.open_units[self.tracks] -= 1
        self._tracker.release()
        loop = self._use.loop
        if loop is not None and self._use.is_foreign_loop:
            if loop.is_running():
                loop.call_soon_threadsafe(self.state.locks.release, self.owner)
            self._use.require_own_loop()
        self.state.locks.release(self.owner)
