"""One transaction: begin, commit, rollback and savepoint."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, TypeVar
from uuid import UUID
from weakref import WeakSet

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import InstanceState, Session, make_transient
from uuid_utils.compat import uuid7

from domain.errors import (
    CommitOutcomeUnknown,
    ConstraintViolated,
    DatabaseFailure,
    InvalidInput,
    RecollectError,
    UnitOfWorkError,
)
from domain.schema.base import Entity
from domain.schema.stored import CommitMark
from domain.values.savepoints import Savepoint
from domain.values.transactions import Isolation
from repositories.postgres import autocommit, direct
from repositories.postgres.attaching import attach, track_row
from repositories.postgres.cancellation import run_to_completion
from repositories.postgres.database_info import TENANT
from repositories.postgres.errors import Phase, translate
from repositories.postgres.execution import Execution
from repositories.postgres.refreshing import refresh_tracked

if TYPE_CHECKING:
    from sqlalchemy import Connection
    from sqlalchemy.ext.asyncio import AsyncSession, AsyncSessionTransaction

    from repositories.postgres.compiled_statements import Row
    from repositories.postgres.database_info import Schema

E = TypeVar("E", bound=Entity)

_UNREADABLE: Final = (
    "the statement that commits did not return every row that it inserts, or not as the entity"
    " declares it"
)

_CANCELLED_IN_COMMIT = {
    True: "cancelled during COMMIT: it was carried out",
    False: "cancelled during COMMIT: it failed, and nothing was committed",
    None: "cancelled during COMMIT: the outcome is unknown",
}


class Transaction(Execution):
    """The transaction of one unit of work, and the only way to its session."""

    def __init__(
        self,
        session: AsyncSession,
        *,
        tenant: str,
        schema: Schema,
        tracks: bool,
        isolation: Isolation,
    ) -> None:
        super().__init__(session, tenant=tenant, schema=schema, tracks=tracks, isolation=isolation)
        self.committed: bool | None = False
        self._begun_at = 0.0
        self._added: WeakSet[InstanceState[Any]] = WeakSet()
        self.mark = CommitMark()
        self._commit_began = False
        self._new_operation_id: Callable[[], UUID] = uuid7

    @property
    def age(self) -> timedelta:
        """The time since it began, including the wait for a connection.

        It is a duration, because the clocks of two machines differ.
        """
        return timedelta(seconds=monotonic() - self._begun_at)

    async def begin(self) -> None:
        """Take a connection from the pool.

        BEGIN is sent with the first statement that needs a transaction: one that writes, or any
        statement with another isolation level or row-level security.
        """
        self._open = True
        self._begun_at = monotonic()
        options: dict[str, Any] = {}
        if self.isolation is not Isolation.READ_COMMITTED:
            options["isolation_level"] = self.isolation.upper()
        if not self.tracks and self._needs_begin:
            options["postgresql_readonly"] = True
        if self.schema.row_level_security:
            options[TENANT] = self.tenant
        try:
            with self.guarded() as session:
                self._connection = await session.run_sync(
                    lambda sync: sync.connection(execution_options=options)
                )
        except BaseException:
            # Python calls no `__aexit__` for what failed in `__aenter__`.
            await self.end()
            raise

    def add(self, entity: E) -> E:
        """Assign the tenant and track the entity: a new one is inserted, a stored one updated.

        Raises:
            TenantMismatch: the entity belongs to another tenant.
            UnitOfWorkError: another open unit of work tracks it, or this one tracks another object
                of the same row.
        """
        self.require_open()
        attach(self.session, entity, assign_tenant=self.assign_tenant, added=self._added)
        return entity

    def track(self, kind: type[Entity], row: Row) -> Entity:
        """Return the tracked entity of a row, with the values of the row."""
        return track_row(self.session, kind, row)

    def savepoint(self) -> Savepoint:
        """Roll the block back alone if an exception leaves it; the transaction continues."""
        return Savepoint(self._savepoint(), self._savepoints)

    @asynccontextmanager
    async def _savepoint(self) -> AsyncIterator[None]:
        await self.flush()
        with self.guarded() as session:
            nested = await session.begin_nested()
            # The session sends SAVEPOINT with its own next statement, and reads bypass the session.
            await session.connection()
        try:
            yield
            await self.flush()
            with self.guarded():
                await nested.commit()
        except BaseException as error:
            # If the unit of work ended in the block, there is nothing left to roll back.
            if self._open:
                await run_to_completion(self._undo(nested, error))
            raise
        finally:
            if len(self._savepoints) == 1:
                self._written.forget()

    async def _undo(self, nested: AsyncSessionTransaction, error: BaseException) -> None:
        if self._connection_lost:
            return
        self._aborted = False
        snapshots = self._written.snapshots_of(self.session)
        try:
            with self.guarded() as session:
                await nested.rollback()
                await refresh_tracked(session, snapshots, tenant=self.tenant)
        except RecollectError:
            self._aborted = True
            # The cause is the error that left the savepoint if that one was a cancellation, which
            # ends the connection, or a failure of the database, which `run` may retry.
            if isinstance(error, Exception) and not isinstance(error, DatabaseFailure):
                raise

    async def end(self) -> None:
        """Roll back and end the session.

        Entities keep their values, and can be added to another unit of work.
        """
        if not self._open:
            return
        if self._use.is_foreign_loop:
            await self._end_in_own_loop()
            self._use.require_own_loop()
        # In a task of its own: a task that waits for the connection then gets it before this task's
        # next unit of work does.
        await run_to_completion(self._end())

    async def _end_in_own_loop(self) -> None:
        # The connection can only be used in its own loop: that one returns it to the pool.
        loop = self._use.loop
        if loop is not None and loop.is_running():
            await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(self._end(), loop))

    async def _end(self) -> None:
        self._open = False
        # After a misuse, the call of another task may not have returned: it has the connection.
        await self._use.wait_free()
        added = [state.obj() for state in self._added] if self._added else []
        await self.session.run_sync(_close)
        for entity in added:
            if entity is not None:
                make_transient(entity)

    async def commit(self, operation_id: Callable[[], UUID]) -> None:
        """Write added and changed entities, and commit.

        If one statement can write all that the unit of work writes, such as a changed entity, or a
        new review with a new finding, it is sent without BEGIN and COMMIT: PostgreSQL commits a
        statement outside of a transaction by itself. It then counts as the COMMIT.

        A cancellation during COMMIT is raised after the server has answered; `committed` then says
        what happened.

        Args:
            operation_id: returns the id that CommitOutcomeUnknown has if the outcome is unknown.
        """
        self.require_usable()
        if self._savepoints:
            raise UnitOfWorkError("a savepoint is open: leave it before the commit")
        if len(self.session.dirty) > 1:
            await self.flush()  # which also looks for rows that are gone
        self._new_operation_id = operation_id
        try:
            await run_to_completion(self._commit(), may_cancel=lambda: not self._commit_began)
        except asyncio.CancelledError as cancellation:
            if self._commit_began:
                cancellation.add_note(_CANCELLED_IN_COMMIT[self.committed])
            raise
        finally:
            # It refers to the unit of work: a cycle would leave both to the garbage collector.
            self._new_operation_id = uuid7

    async def _commit(self) -> None:
        try:
            with self.guarded() as session:
                is_committed = await self._commit_by_statement(session)
                await session.run_sync(
                    self._end_committed if is_committed else self._flush_and_commit
                )
        except (CommitOutcomeUnknown, asyncio.CancelledError):
            raise
        except RecollectError:
            if self.committed is None:
                self.committed = False
            raise

    async def _commit_by_statement(self, session: AsyncSession) -> bool:
        connection = self._connection_without_transaction()
        write = None if connection is None else autocommit.write_of(session.sync_session)
        if connection is None or write is None:
            return False
        self._begin_commit()
        try:
            await write.send(session, connection)
        except Exception as error:
            if not isinstance(error, SQLAlchemyError | RecollectError):
                raise CommitOutcomeUnknown(self._unknown_operation(), _UNREADABLE) from None
            failure = translate(error, phase=self._phase)
            if not (write.is_divisible and isinstance(failure, ConstraintViolated | InvalidInput)):
                raise
            # Nothing is written. The flush inserts one after another, and fails at the first one
            # that violates a constraint: always the same one, as in any other commit.
            self._phase = Phase.WORK
            self._commit_began = self.committed = False
            return False
        return True

    def _connection_without_transaction(self) -> Connection | None:
        # Row-level security and Citus need settings of the transaction.
        connection = self._connection
        if self._needs_begin or self.schema.distributed or connection is None:
            return None
        return None if connection.invalidated or direct.has_begun(connection) else connection

    def _flush_and_commit(self, session: Session) -> None:
        # In one greenlet: each takes as long as sending a statement, and others wait for the rows
        # that the flush has locked.
        session.flush()
        self._begin_commit()
        session.commit()
        self._end_committed(session)

    def _end_committed(self, session: Session) -> None:
        self.committed = self.mark.committed = True
        self._open = False
        self._added.clear()
        _close(session)

    def _begin_commit(self) -> None:
        connection = self._connection
        self._phase = Phase.COMMIT if connection is None else direct.commit_phase(connection)
        self._commit_began, self.committed = True, None

    def _unknown_operation(self) -> UUID | None:
        # Making an id takes longer than the other steps of a commit.
        return self._new_operation_id() if self._phase is Phase.COMMIT else None


def _close(session: Session) -> None:
    try:
        session.close()  # entities leave the session first, and keep their values
    except (SQLAlchemyError, OSError):
        # The connection is lost, so the server rolls back.
        session.invalidate()
