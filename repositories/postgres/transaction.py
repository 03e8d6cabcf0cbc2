"""One transaction: executes, turns failures into domain errors, and remembers that one happened."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID
from weakref import WeakSet

from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import InstanceState, make_transient
from sqlalchemy.orm.attributes import instance_state

from domain.errors import (
    CommitOutcomeUnknown,
    Conflict,
    ConnectionLost,
    DatabaseFailure,
    InvalidEmbedding,
    RecollectError,
    TenantMismatch,
    TransactionAborted,
    UnitOfWorkClosed,
    UnitOfWorkError,
)
from domain.schema.base import Entity
from domain.values.transactions import ROWS_GONE, Isolation
from repositories.postgres import direct
from repositories.postgres.cancellation import run_to_completion
from repositories.postgres.database_info import TENANT
from repositories.postgres.errors import Phase, raise_bare, translate
from repositories.postgres.savepoints import SavepointLog, refresh_after_rollback
from repositories.sql.rows import by_ids, tenant_equals

if TYPE_CHECKING:
    from sqlalchemy import CursorResult, Executable, Result, RowMapping
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession, AsyncSessionTransaction

    from domain.values.plans import SearchPlan
    from repositories.postgres.database_info import Schema
    from repositories.postgres.direct import Row

T = TypeVar("T")
E = TypeVar("E", bound=Entity)

_CANCELLED_IN_COMMIT = {
    True: "cancelled while COMMIT was under way: it was carried out, and the unit of work was kept",
    False: "cancelled while COMMIT was under way: it failed, and nothing was kept",
    None: "cancelled while COMMIT was under way: whether it happened is unknown",
}


class Transaction:
    """The session of one unit of work, and the only way to it.

    `tracks` says whether the entities it reads are watched for changes; a reader's are not. Where
    `plans` is a list, searches add theirs to it. A failure outside a savepoint poisons it:
    PostgreSQL would answer the COMMIT of such a transaction with ROLLBACK and no error.
    """

    def __init__(
        self,
        session: AsyncSession,
        *,
        tenant: str,
        schema: Schema,
        tracks: bool,
        isolation: Isolation,
    ) -> None:
        self.tenant = tenant
        self.schema = schema
        self.tracks = tracks
        self.isolation = isolation
        # A statement alone sees what one in a READ COMMITTED transaction does.
        self._needs_begin = (
            tracks or isolation is not Isolation.READ_COMMITTED or schema.row_level_security
        )
        self._session = session
        self.committed: bool | None = False
        self._connection: AsyncConnection | None = None
        self._open = False
        self._begun_at = 0.0
        self._aborted = False
        self._connection_lost = False
        self._executed = 0
        self._savepoints = 0
        self._written = SavepointLog()
        self._added: WeakSet[InstanceState[Any]] = WeakSet()
        self.plans: list[SearchPlan] | None = None

    @property
    def is_open(self) -> bool:
        """Whether it has begun and not ended."""
        return self._open

    @property
    def age(self) -> timedelta:
        """How long ago it was begun, the wait for a connection included.

        A duration, because clocks of machines differ.
        """
        return timedelta(seconds=monotonic() - self._begun_at)

    async def begin(self) -> None:
        """Take a connection. BEGIN goes with the first statement; a reader's is READ ONLY, and sent
        only where it is needed.

        The isolation is always said: a role may have another default.
        """
        self._open = True
        self._begun_at = monotonic()
        options: dict[str, Any] = (
            {"isolation_level": self.isolation.upper()} if self._needs_begin else {}
        )
        if not self.tracks and self._needs_begin:
            options["postgresql_readonly"] = True
        if self.schema.row_level_security:
            options[TENANT] = self.tenant
        try:
            with self.guarded() as session:
                self._connection = await session.connection(execution_options=options)
        except BaseException:
            # Python calls no `__aexit__` for what failed in `__aenter__`.
            await self.end()
            raise

    @contextmanager
    def guarded(
        self, phase: Phase = Phase.WORK, operation_id: UUID | None = None
    ) -> Iterator[AsyncSession]:
        """Lend the session; what fails inside is raised as a domain error and poisons the
        transaction.

        Raises:
            UnitOfWorkClosed: it was not entered yet, or has ended.
            TransactionAborted: a statement failed before.
            ConnectionLost: the connection was lost before.
        """
        self.require_open()
        if self._connection_lost:
            raise ConnectionLost(
                "the connection was lost before, and nothing was committed: leave this unit of work"
                " and run it again"
            )
        if self._aborted:
            raise TransactionAborted(
                "a statement failed before: leave this unit of work, and nothing of it is kept"
            )
        try:
            yield self._session
        except BaseException as error:
            self._aborted = True
            if isinstance(error, Exception):
                failure = translate(error, phase=phase, operation_id=operation_id)
                self._connection_lost |= isinstance(failure, ConnectionLost)
                raise_bare(failure)
            raise

    def require_open(self) -> None:
        """Raise UnitOfWorkClosed unless the unit of work is under way."""
        if not self._open:
            raise UnitOfWorkClosed(
                "this unit of work is not open: use it inside its `async with`, before it ends"
            )

    def add(self, entity: E) -> E:
        """Stamp the entity with the tenant and take it into the session."""
        self.require_open()
        self.assign_tenant(entity)
        self._session.add(entity)
        self._added.add(instance_state(entity))
        return entity

    def assign_tenants(self, entities: Sequence[Entity]) -> None:
        """Make the entities this tenant's, as `stamp` does each."""
        # A call for each of many rows that need nothing would cost as much as to read them.
        kinds: set[type[Entity]] = set(map(type, entities))
        tenants = {vars(entity).get("tenant") for entity in entities}
        if tenants != {self.tenant} or any(kind.embedding_fields() for kind in kinds):
            for entity in entities:
                self.assign_tenant(entity)

    def assign_tenant(self, entity: Entity) -> None:
        """Make the entity this tenant's, or raise TenantMismatch if it was made another's."""
        values = vars(entity)
        if values.get("embedding") is not None:
            self.require_dimensions(entity)
        if values.get("tenant") == self.tenant or "tenant" not in type(entity).model_fields:
            return
        # One that was read, or written and committed, was made its tenant's by that, whoever named
        # it.
        if "tenant" in entity.model_fields_set or instance_state(entity).key is not None:
            raise TenantMismatch(
                f"a {type(entity).__name__} of another tenant was given to this unit of work"
            )
        values["tenant"] = self.tenant

    def require_dimensions(self, entity: Entity) -> None:
        """Raise InvalidEmbedding where the entity's embedding is not of this database's dimension.

        It may know others too.
        """
        embedding = vars(entity).get("embedding")
        if embedding is not None and embedding.dimensions() != self.schema.dimensions:
            raise InvalidEmbedding(
                f"the embedding has {embedding.dimensions()} dimensions, not {self.schema.dimensions}",
                field="embedding",
            )

    async def flush(self) -> None:
        """Write what was added or changed."""
        with self.guarded() as session:
            if session.new or session.dirty or session.deleted:
                if self._savepoints:
                    self._written.remember(session)
                changed = self._changed_together(session)
                await session.flush()
                for entity, ids in changed.items():
                    await self._require_rows(session, entity, ids)

    @staticmethod
    def _changed_together(session: AsyncSession) -> Mapping[type[Entity], Sequence[UUID]]:
        # Of one changed row the ORM learns whether it was still there; of several, sent together,
        # the driver does not tell.
        changed: defaultdict[type[Entity], list[UUID]] = defaultdict(list)
        for entity in session.dirty:
            if session.is_modified(entity):
                changed[type(entity)].append(vars(entity)["id"])
        return {entity: ids for entity, ids in changed.items() if len(ids) > 1}

    async def _require_rows(
        self, session: AsyncSession, entity: type[Entity], ids: Sequence[UUID]
    ) -> None:
        counted = (
            select(func.count())
            .select_from(entity.__table__)
            .where(tenant_equals(entity, self.tenant))
        )
        if (await session.execute(by_ids(counted, entity, ids))).scalar_one() < len(ids):
            raise Conflict(ROWS_GONE)

    async def execute(
        self,
        statement: Executable,
        parameters: Sequence[dict[str, Any]] | dict[str, Any] | None = None,
    ) -> Result[Any]:
        """Write what was added or changed, then execute the statement."""
        await self.flush()
        with self.guarded() as session:
            result = await session.execute(statement, parameters)
        self._executed += 1
        return result

    async def rows(
        self, statement: Executable, values: Mapping[str, Any] | None = None
    ) -> list[Row]:
        """Write what was added or changed, then execute a statement that selects.

        No entity is tracked.
        """
        if self.tracks:
            await self.flush()
        with self.guarded() as session:
            connection = self._connection or await session.connection()
            if self._needs_begin and not direct.has_begun(connection):
                found = [dict(row) for row in (await session.execute(statement, values)).mappings()]
            else:
                found = await direct.fetch(connection, statement, values or {})
        self._executed += 1
        return found

    async def scalar(self, statement: Executable, values: Mapping[str, Any] | None = None) -> Any:
        """Return the first value of the first row that the statement selects, or None where it selects none."""
        return next(
            (value for row in await self.rows(statement, values) for value in row.values()), None
        )

    async def changed(
        self, statement: Executable, parameters: Sequence[dict[str, Any]] | None = None
    ) -> int:
        """Execute a statement that writes and return how many rows it touched."""
        result: CursorResult[Any] = await self.execute(statement, parameters)  # type: ignore[assignment]  # rows come from Select
        return result.rowcount

    @contextmanager
    def all_or_none(self) -> Iterator[None]:
        """Hold statements together.

        Whatever breaks off after the first of them poisons the transaction.
        """
        before = self._executed
        try:
            yield
        except BaseException:
            self._aborted = self._aborted or self._executed > before
            raise

    @contextmanager
    def explaining(self) -> Iterator[list[SearchPlan]]:
        """Collect the plans of the searches inside."""
        before, self.plans = self.plans, []
        try:
            yield self.plans
        finally:
            self.plans = before

    async def stream(
        self, statement: Executable, values: Mapping[str, Any], *, batch_size: int
    ) -> AsyncIterator[RowMapping]:
        """Yield every row from a server-side cursor, `batch_size` rows at a time."""
        await self.flush()
        with self.guarded() as session:
            result = await session.stream(
                statement, values, execution_options={"yield_per": batch_size}
            )
        try:
            while True:
                with self.guarded():
                    batch = await result.mappings().fetchmany(batch_size)
                if not batch:
                    return
                for row in batch:
                    yield row
        finally:
            await result.close()

    @asynccontextmanager
    async def savepoint(self) -> AsyncIterator[None]:
        """Undo a part alone.

        What leaves it by an exception is undone, and the transaction goes on.
        """
        await self.flush()
        with self.guarded() as session:
            nested = await session.begin_nested()
        self._savepoints += 1
        try:
            yield
            await self.flush()
            with self.guarded():
                await nested.commit()
        except BaseException as error:
            # Where the whole unit of work has ended inside, there is nothing left to undo.
            if self._open:
                await run_to_completion(self._undo(nested, error))
            raise
        finally:
            self._savepoints -= 1
            if not self._savepoints:
                self._written.forget()

    async def _undo(self, nested: AsyncSessionTransaction, error: BaseException) -> None:
        if self._connection_lost:
            return
        self._aborted = False
        watched = self._written.watched_by(self._session)
        try:
            with self.guarded() as session:
                await nested.rollback()
                await refresh_after_rollback(session, watched, tenant=self.tenant)
        except RecollectError:
            # The cause is the error that left the savepoint if that one was a cancellation, which
            # ends the connection, or a failure of the database, which `run` may retry.
            if isinstance(error, Exception) and not isinstance(error, DatabaseFailure):
                raise

    async def end(self) -> None:
        """End the session; what was not committed is discarded.

        Entities keep their values and may be used again.
        """
        if self._open:
            await run_to_completion(self._end())

    async def _end(self) -> None:
        self._open = False
        added = [state.obj() for state in self._added]
        self._session.expunge_all()
        for entity in added:
            if entity is not None:
                make_transient(entity)
        await self._close()

    async def _close(self) -> None:
        try:
            await self._session.close()
        except (SQLAlchemyError, OSError):
            # It could not be rolled back, because its connection is lost: so is what was not
            # committed, as it should be.
            await self._session.invalidate()

    async def commit(self, operation_id: UUID) -> None:
        """Write what was added or changed, and make everything last; an unknown outcome is raised
        with `operation_id`.

        A cancellation that comes while COMMIT is under way is raised when the server has answered;
        `committed` says what.
        """
        if self._savepoints:
            raise UnitOfWorkError(
                "a savepoint is open: leave it before the unit of work is committed"
            )
        await self.flush()
        try:
            await run_to_completion(self._commit(operation_id))
        except asyncio.CancelledError as cancellation:
            cancellation.add_note(_CANCELLED_IN_COMMIT[self.committed])
            raise

    async def _commit(self, operation_id: UUID) -> None:
        self.committed = None
        connection = self._connection
        phase = Phase.COMMIT if connection is None else direct.commit_phase(connection)
        try:
            with self.guarded(phase, operation_id) as session:
                await session.commit()
        except (CommitOutcomeUnknown, asyncio.CancelledError):
            raise
        except RecollectError:
            self.committed = False
            raise
        self.committed = True
        self._added.clear()
        await self._end()
