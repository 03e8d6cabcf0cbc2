"""Units of work on PostgreSQL: one transaction of one tenant in one task."""

from __future__ import annotations

from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple, Self
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession
from uuid_utils.compat import uuid7

from domain import ports
from domain.entities.maintenance import CommittedOperation
from domain.errors import UnitOfWorkClosed
from domain.ports.implementing import implements
from domain.values.transactions import Isolation
from repositories.postgres.mapping import order_writes_by_foreign_keys
from repositories.postgres.own_statements import OwnStatements
from repositories.postgres.tracked_values import TrackingSession
from repositories.postgres.transaction import Transaction
from repositories.provider import RepositoryProvider
from repositories.registry import LIBRARY, POSTGRES, Registry
from repositories.sql import committed_operations as statements

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager, AbstractContextManager
    from types import TracebackType

    from sqlalchemy.ext.asyncio import AsyncEngine

    from domain.values.plans import SearchPlan
    from repositories.postgres.database_info import Schema


order_writes_by_foreign_keys()


@implements(ports.ReadUnitOfWork)
class _Unit(OwnStatements, RepositoryProvider):
    """The base of a unit of work and a reader, which can be entered once."""

    def __init__(
        self,
        engine: AsyncEngine,
        *,
        tenant: str,
        schema: Schema,
        writes: bool,
        isolation: Isolation = Isolation.READ_COMMITTED,
        registry: Registry = LIBRARY,
    ) -> None:
        session = AsyncSession(
            engine, sync_session_class=TrackingSession, expire_on_commit=False, autoflush=False
        )
        self._transaction = Transaction(
            session, tenant=tenant, schema=schema, tracks=writes, isolation=isolation
        )
        super().__init__(self._transaction, registry, POSTGRES, writes=writes)
        self._entered = False

    @property
    def tenant(self) -> str:
        return self._transaction.tenant

    @property
    def is_open(self) -> bool:
        """Whether it was entered and has not ended."""
        return self._transaction.is_open

    def explaining(self) -> AbstractContextManager[list[SearchPlan]]:
        return self._transaction.explaining()

    async def __aenter__(self) -> Self:
        if self._entered:
            raise UnitOfWorkClosed("this unit of work was entered before: open another one")
        self._entered = True
        await self._transaction.begin()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._transaction.end()


@implements(ports.UnitOfWork)
class UnitOfWork(_Unit, ports.UnitOfWork):
    """Unit of work on PostgreSQL; see `domain.UnitOfWork`.

    With READ COMMITTED, its transaction begins with the first statement that writes or locks rows.
    Another transaction can change the rows that it has read, before that and after. Use
    `Isolation.REPEATABLE_READ` if all its statements have to see the same rows.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        *,
        tenant: str,
        schema: Schema,
        operation_id: UUID | None = None,
        isolation: Isolation = Isolation.READ_COMMITTED,
        registry: Registry = LIBRARY,
    ) -> None:
        super().__init__(
            engine,
            tenant=tenant,
            schema=schema,
            writes=True,
            isolation=isolation,
            registry=registry,
        )
        self._operation_id = operation_id
        # The row is part of the same transaction, so it exists only if the commit happened.
        self._is_recorded = operation_id is not None

    @property
    def operation_id(self) -> UUID:
        if self._operation_id is None:
            self._operation_id = uuid7()
        return self._operation_id

    @cached_property
    def attempt_id(self) -> UUID:
        """Identifies this attempt among those with the same operation id."""
        return uuid7()

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        if self._is_recorded:
            self._transaction.operation_id = self.operation_id
            self._transaction.add(
                CommittedOperation(operation_id=self.operation_id, attempt_id=self.attempt_id)
            )
        return self

    @property
    def committed(self) -> bool | None:
        return self._transaction.committed

    async def flush(self) -> None:
        await self._transaction.flush()

    async def commit(self) -> None:
        # Making an id takes longer than the other steps that end a unit of work.
        await self._transaction.commit(lambda: self.operation_id)

    async def rollback(self) -> None:
        self._transaction.require_open()
        await self._transaction.end()

    def savepoint(self) -> AbstractAsyncContextManager[None]:
        return self._transaction.savepoint()


@implements(ports.ReadUnitOfWork)
class ReadUnitOfWork(_Unit, ports.ReadUnitOfWork):
    """Read-only unit of work on PostgreSQL.

    The sessions of `engine` are READ ONLY. With READ COMMITTED, each statement sees the rows
    committed when it begins, so a transaction begins only when a cursor needs one.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        *,
        tenant: str,
        schema: Schema,
        isolation: Isolation = Isolation.READ_COMMITTED,
        registry: Registry = LIBRARY,
    ) -> None:
        super().__init__(
            engine,
            tenant=tenant,
            schema=schema,
            writes=False,
            isolation=isolation,
            registry=registry,
        )


class CommittedAttempt(NamedTuple):
    """The attempt that committed an operation; None for rows of older versions."""

    attempt_id: UUID | None


class CommittedOperations(_Unit):
    """Looks up one operation; it writes nothing that lasts."""

    def __init__(
        self, engine: AsyncEngine, *, tenant: str, schema: Schema, operation_id: UUID
    ) -> None:
        super().__init__(engine, tenant=tenant, schema=schema, writes=True)
        self._operation_id = operation_id

    async def committed_attempt(self, *, within: timedelta) -> CommittedAttempt | None:
        """Return the attempt that committed the operation, or None if none did.

        Raises:
            LockTimeout: its transaction was still open after that time.
        """
        key = self.tenant, self._operation_id
        await self._transaction.execute(statements.lock_timeout(within))
        # The insert waits for the end of an open transaction with the same key. Only then is the
        # answer final.
        if await self._transaction.changed(statements.insert_operation(*key)):
            return None
        rows = await self._transaction.execute(statements.select_attempt(*key))
        return CommittedAttempt(rows.scalar_one())
