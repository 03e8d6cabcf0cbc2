"""A database in memory, for tests of services: the same ports and the same errors, without a driver and without a server."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Self, TypeVar
from uuid import UUID

from domain.embedding import DEFAULT_DIMENSIONS, forget_dimensions, learn_dimensions
from domain.errors import ConfigurationError, RecollectError
from domain.knowledge import EmbeddingMetadata
from domain.maintenance import Operation
from domain.text import DEFAULT_TENANT, require_tenant
from repositories.fakes.layers import Layers
from repositories.fakes.locks import Locks
from repositories.fakes.state import State
from repositories.fakes.tables import read_tables
from repositories.fakes.unit_of_work import FakeReader, FakeUnitOfWork

if TYPE_CHECKING:
    from types import TracebackType

T = TypeVar("T")

MAX_DIMENSIONS = 16_000
ATTEMPTS = 10
RETRY_FOR = timedelta(seconds=30)


def _utc_now() -> datetime:
    return datetime.now(UTC)


class FakeDatabase:
    """The database that `repositories.Database` is, in memory. It lives as long as the object; `async with` may be left out.

    Units of work do not see what others have not committed, wait for each other's locks up to `lock_timeout` seconds, and break
    the same rules of the schema with the same errors and constraint names. While the fake or a unit of work of it lives, entities
    take embeddings of its dimension. `clock` gives the moment of the server: each unit of work asks it once, and each claim of a
    run.

    What differs from PostgreSQL: vector search is always exact; two units of work of one task that want the same row fail at once
    instead of after the timeout; a server's statistics, plans, connections and lost commits do not exist.
    """

    def __init__(
        self,
        *,
        dimensions: int = DEFAULT_DIMENSIONS,
        provider: str = "unspecified",
        model: str = "unspecified",
        clock: Callable[[], datetime] = _utc_now,
        lock_timeout: float = 5.0,
    ) -> None:
        if not 1 <= dimensions <= MAX_DIMENSIONS:
            raise ConfigurationError(f"dimensions must be between 1 and {MAX_DIMENSIONS:,}", setting="dimensions")
        self._state = State(tables=read_tables(dimensions), locks=Locks(lock_timeout), clock=clock, dimensions=dimensions)
        self._record_embedding(EmbeddingMetadata(provider=provider, model=model, dimensions=dimensions))
        learn_dimensions(dimensions)
        # A unit of work keeps the state, so that `FakeDatabase().unit_of_work()` is enough to write embeddings.
        weakref.finalize(self._state, forget_dimensions, dimensions)

    @property
    def dimensions(self) -> int:
        return self._state.dimensions

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        pass

    def unit_of_work(self, *, tenant: str = DEFAULT_TENANT, operation_id: UUID | None = None) -> FakeUnitOfWork:
        """Return a unit of work of one tenant. It opens with `async with`.

        Raises:
            InvalidInput: `tenant` cannot name one.
        """
        return FakeUnitOfWork(self._state, tenant=require_tenant(tenant), operation_id=operation_id)

    def reader(self, *, tenant: str = DEFAULT_TENANT) -> FakeReader:
        """Return a read-only unit of work of one tenant. It opens with `async with`.

        Raises:
            InvalidInput: `tenant` cannot name one.
        """
        return FakeReader(self._state, tenant=require_tenant(tenant))

    async def run(
        self,
        work: Callable[[FakeUnitOfWork], Awaitable[T]],
        *,
        tenant: str = DEFAULT_TENANT,
        attempts: int = ATTEMPTS,
        retry_for: timedelta = RETRY_FOR,
    ) -> T:
        """Run `work` in a unit of work and commit, unless it did; run it whole again where the failure says that is safe.

        `work` must not do anything outside the unit of work that may not happen twice.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + retry_for.total_seconds()
        for attempt in range(1, attempts + 1):
            try:
                return await self._run_once(work, tenant)
            except RecollectError as error:
                if not error.safe_to_retry or attempt == attempts or loop.time() >= deadline:
                    raise
        raise ConfigurationError("attempts must be at least 1", setting="attempts")

    async def outcome(self, operation_id: UUID, *, tenant: str = DEFAULT_TENANT) -> bool:
        """Return whether the unit of work that was given this operation id was committed."""
        key = (require_tenant(tenant), operation_id)
        return key in self._state.committed[Operation.__tablename__]

    async def _run_once(self, work: Callable[[FakeUnitOfWork], Awaitable[T]], tenant: str) -> T:
        async with self.unit_of_work(tenant=tenant) as uow:
            result = await work(uow)
            if uow.is_open:
                await uow.commit()
            return result

    def _record_embedding(self, record: EmbeddingMetadata) -> None:
        table = self._state.tables[EmbeddingMetadata.__tablename__]
        row = table.stored(table.row_of(record, self._state.clock().astimezone(UTC)))
        layers = Layers(self._state.committed)
        layers.put(table.name, table.key_of(row), row)
        layers.put(table.key.name, table.key_of(row), table.key_of(row))
        layers.merge()
