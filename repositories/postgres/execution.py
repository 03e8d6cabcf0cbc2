"""Executes the statements of one transaction, and raises their failures as domain errors."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from sqlalchemy import func, select

from domain.errors import (
    AlreadyCommitted,
    AlreadyExists,
    Conflict,
    ConnectionLost,
    RecollectError,
    TransactionAborted,
    UnitOfWorkClosed,
    UnitOfWorkError,
)
from domain.values.exclusive_use import ExclusiveUse
from domain.values.transactions import OPERATION_KEY, ROWS_GONE, Isolation
from domain.values.turns import TURN, slices
from repositories.postgres import direct
from repositories.postgres.errors import Phase, raise_bare, translate
from repositories.postgres.fetches import Fetches, lost_in_stream
from repositories.postgres.refreshing import SavepointLog, refresh_tracked
from repositories.postgres.tenancy import Tenancy
from repositories.sql.rows import by_ids, tenant_equals

if TYPE_CHECKING:
    from types import TracebackType

    from sqlalchemy import Connection, CursorResult, Executable, Result, Table
    from sqlalchemy.ext.asyncio import AsyncSession
    from sqlalchemy.orm import Session

    from domain.schema.base import Entity
    from domain.values.plans import SearchPlan
    from domain.values.savepoints import Savepoint
    from repositories.postgres.compiled_statements import Row
    from repositories.postgres.database_info import Schema


NO_OPTIONS: Final[Mapping[str, Any]] = {}

_ROWS_PER_PARTITION: Final = 8
"""Rows that are converted between two looks at the clock."""


class Guard:
    """The context of `Execution.guarded`.

    Several are entered in every unit of work, and `contextmanager` takes three times as long.
    """

    __slots__ = ("_execution", "_holder")

    def __init__(self, execution: Execution) -> None:
        self._execution = execution
        self._holder: asyncio.Task[object] | None = None

    def __enter__(self) -> AsyncSession:
        self._holder = self._execution.enter()
        return self._execution.session

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if exc is not None:
                self._execution.fail(exc)
        finally:
            self._execution.leave(self._holder)


class Execution(Tenancy):
    """Executes statements on the session of one unit of work.

    `tracks` says whether changes of the entities that it reads are written; a reader's are not. A
    statement that fails outside a savepoint aborts it: PostgreSQL answers the COMMIT of such a
    transaction with ROLLBACK and no error. Searches append their plans to `plans`, where it is a
    list.
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
        super().__init__(tenant, schema)
        self.tracks = tracks
        self.isolation = isolation
        self.plans: list[SearchPlan] | None = None
        self.operation_id: UUID | None = None
        # A statement that reads, alone, sees what one in a READ COMMITTED transaction does.
        self._needs_begin = isolation is not Isolation.READ_COMMITTED or schema.row_level_security
        self.session = session
        self._connection: Connection | None = None
        self._open = False
        self._aborted = False
        self._connection_lost = False
        self._phase = Phase.WORK
        self._use = ExclusiveUse()
        self._executed = 0
        self._savepoints: list[Savepoint] = []
        self._written = SavepointLog()

    @property
    def is_open(self) -> bool:
        """Whether it has begun and has not ended."""
        return self._open

    def guarded(self) -> Guard:
        """Return a context that provides the session and raises failures as domain errors.

        A failure aborts the transaction.

        Raises:
            UnitOfWorkClosed: it was not entered yet, or has ended.
            TransactionAborted: an earlier statement failed.
            ConnectionLost: the connection was lost before.
            UnitOfWorkError: another task is using it, or it belongs to another event loop.
        """
        return Guard(self)

    def enter(self) -> asyncio.Task[object] | None:
        """Check that a statement can be executed, and hold the session for the current task."""
        self.require_usable()
        return self._use.acquire()

    def require_usable(self) -> None:
        """Raise an error unless a statement can be executed.

        Raises:
            UnitOfWorkClosed: it was not entered yet, or has ended.
            ConnectionLost: the connection was lost before.
            TransactionAborted: an earlier statement failed.
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

    def leave(self, holder: asyncio.Task[object] | None) -> None:
        """Give the session back, after the `enter` that returned `holder`."""
        self._use.release(holder)

    def fail(self, error: BaseException) -> None:
        """Abort the transaction, and raise the domain error for a failure."""
        self._aborted = True
        if isinstance(error, Exception):
            failure = translate(error, phase=self._phase, operation_id=self._unknown_operation())
            if self.operation_id is not None and _is_duplicate(failure):
                failure = AlreadyCommitted(self.operation_id)
            self._connection_lost |= isinstance(failure, ConnectionLost)
            raise_bare(failure)

    def _unknown_operation(self) -> UUID | None:
        """Return the id of the operation if the outcome of its COMMIT may be unknown."""
        return None

    def require_open(self) -> None:
        """Raise UnitOfWorkClosed unless the unit of work is open."""
        if not self._open:
            raise UnitOfWorkClosed(
                "this unit of work is not open: use it inside its `async with`, before it ends"
            )

    async def flush(self) -> None:
        """Write added and changed entities."""
        with self.guarded() as session:
            sync = session.sync_session
            if not self.tracks:
                # A reader never writes: entities of earlier statements leave its session.
                sync.expunge_all()
                return
            dirty = sync.dirty
            if dirty or sync.new or sync.deleted:
                if self._savepoints:
                    self._written.remember(session)
                changed = await self._changed_together(sync, dirty)
                await session.flush()
                for entity, ids in changed.items():
                    await self._require_rows(session, entity, ids)

    @staticmethod
    async def _changed_together(
        session: Session, dirty: Collection[Any]
    ) -> Mapping[type[Entity], Sequence[UUID]]:
        # The driver reports whether a single changed row existed, but not for several rows that
        # are sent together.
        if len(dirty) < 2:
            return {}
        changed: defaultdict[type[Entity], list[UUID]] = defaultdict(list)
        async for some in slices(list(dirty)):
            for entity in some:
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
        parameters: Sequence[Mapping[str, Any]] | Mapping[str, Any] | None = None,
        *,
        options: Mapping[str, Any] = NO_OPTIONS,
    ) -> Result[Any]:
        """Write added and changed entities, then execute the statement."""
        await self.flush()
        with self.guarded() as session:
            result = await session.execute(statement, parameters, execution_options=options)
        self._executed += 1
        return result

    async def rows(
        self, statement: Executable, values: Mapping[str, Any] | None = None
    ) -> list[Row]:
        """Write added and changed entities, then return the rows of a statement that selects.

        The rows are dictionaries, and no entity is tracked.
        """
        if self.tracks:
            await self.flush()
        with self.guarded() as session:
            connection = self._connection
            if connection is None:
                result = await session.execute(statement, values)
                rows = await _dictionaries(result)
            else:
                rows = await direct.fetch(
                    session, connection, statement, values or {}, needs_begin=self._needs_begin
                )
        self._executed += 1
        return rows

    async def scalar(self, statement: Executable, values: Mapping[str, Any] | None = None) -> Any:
        """Return the first value of the first selected row, or None without a row."""
        return next(
            (value for row in await self.rows(statement, values) for value in row.values()), None
        )

    async def changed(
        self, statement: Executable, parameters: Sequence[dict[str, Any]] | None = None
    ) -> int:
        """Execute a statement that writes, and return how many rows it wrote."""
        result: CursorResult[Any] = await self.execute(statement, parameters)  # type: ignore[assignment]  # rows come from Select
        return result.rowcount

    @contextmanager
    def all_or_none(self) -> Iterator[None]:
        """Treat the statements in the block as one.

        An exception after the first of them aborts the transaction.
        """
        before = self._executed
        try:
            yield
        except BaseException:
            self._aborted = self._aborted or self._executed > before
            raise

    @contextmanager
    def explaining(self) -> Iterator[list[SearchPlan]]:
        """Collect the plans of the searches in the block."""
        before, self.plans = self.plans, []
        try:
            yield self.plans
        finally:
            self.plans = before

    async def stream(
        self,
        statement: Executable,
        values: Mapping[str, Any],
        *,
        batch_size: int,
        options: Mapping[str, Any] = NO_OPTIONS,
        mappings: bool = True,
    ) -> AsyncIterator[Any]:
        """Yield every row from a server-side cursor, `batch_size` rows at a time.

        Rows are mappings by the names of the columns, or SQLAlchemy's tuples.
        """
        await self.flush()
        with self.guarded() as session:
            result = await session.stream(
                statement, values, execution_options={**options, "yield_per": batch_size}
            )
        fetches = Fetches(result.mappings() if mappings else result, batch_size=batch_size)
        try:
            while rows := await self._fetch(fetches):
                await fetches.give_way()
                async for part in slices(rows):
                    for row in part:
                        yield row
        finally:
            await result.close()

    async def _fetch(self, fetches: Fetches) -> Sequence[Any]:
        with self._use.use():
            try:
                with self.guarded():
                    return await fetches.fetch()
            except (ConnectionLost, UnitOfWorkError) as error:
                # With an open cursor, the driver reports a lost connection as another operation
                # that is in progress.
                if type(error) not in (ConnectionLost, UnitOfWorkError):
                    raise
                self._connection_lost = True
                raise_bare(lost_in_stream(fetches.longest_pause))

    async def refresh_changed(self, tables: Collection[Table] | None) -> None:
        """Read tracked entities of these tables again; None stands for all tables."""
        if not self.tracks or tables == frozenset():
            return
        tracked = [
            one
            for one in self._written.snapshots_of(self.session)
            if tables is None or type(one.entity).__table__ in tables
        ]
        if tracked:
            with self.guarded() as session:
                await refresh_tracked(session, tracked, tenant=self.tenant)


async def _dictionaries(result: Result[Any]) -> list[Row]:
    rows: list[Row] = []
    began = perf_counter()
    for some in result.mappings().partitions(_ROWS_PER_PARTITION):
        if perf_counter() - began > TURN:
            await asyncio.sleep(0)
            began = perf_counter()
        rows += map(dict, some)
    return rows


def _is_duplicate(failure: RecollectError) -> bool:
    return isinstance(failure, AlreadyExists) and failure.constraint == OPERATION_KEY
