"""The store that a contract runs on."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol, TypeVar
from uuid import UUID

from domain.ports.bulk_changes import BulkChangesPort
from domain.values.retries import OUTCOME_WITHIN
from domain.values.transactions import Isolation

if TYPE_CHECKING:
    from domain import ReadUnitOfWork, UnitOfWork

T = TypeVar("T")


class Store(BulkChangesPort, Protocol):
    """An adapter's database, which is empty when a test begins.

    Only the record of its embeddings exists, with four dimensions or more. Sixteen units of work
    fit into the database at the same time, each in its own task.
    """

    def unit_of_work(
        self,
        *,
        tenant: str | None = None,
        operation_id: UUID | None = None,
        isolation: Isolation = Isolation.READ_COMMITTED,
    ) -> UnitOfWork:
        """Return a unit of work of the tenant."""
        ...

    def reader(
        self, *, tenant: str | None = None, isolation: Isolation = Isolation.READ_COMMITTED
    ) -> ReadUnitOfWork:
        """Return a read-only unit of work of the tenant."""
        ...

    async def run(
        self,
        work: Callable[[UnitOfWork], Awaitable[T]],
        *,
        tenant: str | None = None,
        operation_id: UUID | None = None,
        isolation: Isolation = Isolation.READ_COMMITTED,
    ) -> T:
        """Run `work` in a unit of work and commit.

        Run it again where the failure says that is safe.
        """
        ...

    async def outcome(
        self,
        operation_id: UUID,
        *,
        tenant: str | None = None,
        wait_for: timedelta = OUTCOME_WITHIN,
    ) -> bool:
        """Return whether the unit of work of this operation id was committed.

        Raise LockTimeout while it is under way.
        """
        ...
