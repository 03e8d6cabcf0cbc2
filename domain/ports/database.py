"""A database, as an application receives it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol, TypeVar
from uuid import UUID

from domain.ports.bulk_changes import BulkChangesPort
from domain.values.retries import ATTEMPTS, OUTCOME_WITHIN, RETRY_FOR
from domain.values.transactions import Isolation

if TYPE_CHECKING:
    from domain.ports.unit_of_work import ReadUnitOfWork, UnitOfWork

T = TypeVar("T")


class DatabasePort(BulkChangesPort, Protocol):
    """An open database, which `repositories.Database` and `repositories.FakeDatabase` implement.

    Annotate a service's database with it, so that the service runs on PostgreSQL and, in its unit
    tests, in memory.
    """

    @property
    def dimensions(self) -> int:
        """The number of components of its embeddings."""
        ...

    def unit_of_work(
        self,
        *,
        tenant: str | None = None,
        operation_id: UUID | None = None,
        isolation: Isolation = Isolation.READ_COMMITTED,
    ) -> UnitOfWork:
        """Return a unit of work of one tenant. It opens with `async with`.

        Args:
            tenant: whose rows it reads and writes; without one, those of the database's own tenant.
            operation_id: the id that `outcome` takes; only one unit of work with it can commit.
            isolation: the isolation level of its transaction.
        """
        ...

    def reader(
        self, *, tenant: str | None = None, isolation: Isolation = Isolation.READ_COMMITTED
    ) -> ReadUnitOfWork:
        """Return a read-only unit of work of one tenant. It opens with `async with`.

        Args:
            tenant: whose rows it reads; without one, those of the database's own tenant.
            isolation: the isolation level of its transaction.
        """
        ...

    async def run(
        self,
        work: Callable[[UnitOfWork], Awaitable[T]],
        *,
        tenant: str | None = None,
        operation_id: UUID | None = None,
        isolation: Isolation = Isolation.READ_COMMITTED,
        attempts: int = ATTEMPTS,
        retry_for: timedelta = RETRY_FOR,
    ) -> T:
        """Run `work` in a unit of work and commit; run it again after a failure that allows it.

        Args:
            work: an async function of the unit of work. It can run several times.
            tenant: whose rows it reads and writes; without one, those of the database's own tenant.
            operation_id: identifies the message, request or job; committed at most once.
            isolation: the isolation level of each attempt.
            attempts: the maximum number of attempts.
            retry_for: the last attempt starts within this time.

        Raises:
            AlreadyCommitted: another attempt committed the operation.
        """
        ...

    async def outcome(
        self,
        operation_id: UUID,
        *,
        tenant: str | None = None,
        wait_for: timedelta = OUTCOME_WITHIN,
    ) -> bool:
        """Return whether the unit of work with this operation id was committed.

        Args:
            operation_id: the id that the unit of work had.
            tenant: the tenant of the unit of work; without one, the database's own.
            wait_for: how long to wait for a transaction in progress.

        Raises:
            LockTimeout: its transaction was still in progress when `wait_for` had passed.
        """
        ...
