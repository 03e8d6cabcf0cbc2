"""A database in memory, for tests of services.

It has the ports and the errors of the PostgreSQL database, and needs neither driver nor server.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Self, TypeVar, Unpack
from uuid import UUID

from domain.entities.knowledge import EmbeddingMetadata
from domain.entities.maintenance import CommittedOperation
from domain.errors import ConfigurationError, RecollectError
from domain.ports.implementing import checks_arguments
from domain.values.bm25 import DEFAULT_BM25, Bm25
from domain.values.embedding import (
    DEFAULT_DIMENSIONS,
    MAX_DIMENSIONS,
    UNSPECIFIED,
    forget_dimensions,
    learn_dimensions,
)
from domain.values.health import Health, PoolFigures
from domain.values.retries import (
    ATTEMPTS,
    OUTCOME_WITHIN,
    RETRY_FOR,
    Failures,
    call_work,
    forbid_retry,
    require_retry_for,
)
from domain.values.search import VECTOR_WEIGHT
from domain.values.shown import shown
from domain.values.text import DEFAULT_TENANT, require_tenant
from domain.values.transactions import Isolation
from repositories.bulk_changes import BulkChanges
from repositories.fakes.layers import Layers
from repositories.fakes.locks import Locks, Mode, Owner
from repositories.fakes.state import State
from repositories.fakes.tables import read_tables
from repositories.fakes.unit_of_work import FakeReader, FakeUnitOfWork
from repositories.recorder import RecorderOptions, TelemetryRecorder
from repositories.registry import registry_for

if TYPE_CHECKING:
    from types import TracebackType

    from domain.schema.base import Entity
    from repositories.registry import Registration

T = TypeVar("T")


def _named(tenant: str | None) -> str:
    return DEFAULT_TENANT if tenant is None else require_tenant(tenant)


def _utc_now() -> datetime:
    return datetime.now(UTC)


@checks_arguments
class FakeDatabase(BulkChanges):
    """In-memory counterpart of `repositories.Database`. Use it with or without `async with`.

    Units of work see only committed rows of others, wait for each other's locks, and raise the same
    errors with the same constraint names. Entities accept embeddings of its dimension until you
    close it, or while the fake or one of its units of work exists.

    It differs from PostgreSQL in these points:

    - Vector search is always exact.
    - If two units of work of one task need the same row, the second fails at once instead of after
      the timeout.
    - Above READ COMMITTED, any other commit since the first statement is a conflict, even if it
      changed no row that was read.
    - It has no statistics, plans, connections or lost commits.

    Args:
        dimensions: dimensions of the embeddings.
        provider: provider of the embeddings.
        model: model of the embeddings.
        clock: returns the time of the server. Each unit of work and each claim of a run calls it
            once.
        lock_timeout: seconds to wait for a lock.
        vector_weight: how much the vector arm of a hybrid search counts, of 1.
        bm25: parameters of keyword search.
        entities: an application's own entities; by default, all that are registered.
    """

    def __init__(
        self,
        *,
        dimensions: int = DEFAULT_DIMENSIONS,
        provider: str = UNSPECIFIED,
        model: str = UNSPECIFIED,
        clock: Callable[[], datetime] = _utc_now,
        lock_timeout: float = 5.0,
        vector_weight: float = VECTOR_WEIGHT,
        bm25: Bm25 = DEFAULT_BM25,
        entities: Iterable[type[Entity] | Registration] | None = None,
    ) -> None:
        if not 1 <= dimensions <= MAX_DIMENSIONS:
            raise ConfigurationError(
                f"dimensions must be between 1 and {MAX_DIMENSIONS:,}, not {shown(dimensions)}",
                setting="dimensions",
            )
        if not 0 <= vector_weight <= 1:
            raise ConfigurationError(
                f"vector_weight must be between 0 and 1, not {shown(vector_weight)}",
                setting="vector_weight",
            )
        registry = registry_for(entities)
        self._state = State(
            tables=read_tables(dimensions, registry.application_entities),
            locks=Locks(lock_timeout),
            clock=clock,
            dimensions=dimensions,
            vector_weight=vector_weight,
            bm25=bm25,
            registry=registry,
        )
        self._record_embedding(
            EmbeddingMetadata(provider=provider, model=model, dimensions=dimensions)
        )
        self._learned = self._learn_dimensions()

    def _learn_dimensions(self) -> weakref.finalize[[int], State]:
        """Let entities accept embeddings of this dimension until the state ends.

        Returns:
            A function that ends it earlier.
        """
        learn_dimensions(self.dimensions)
        # A unit of work keeps the state, so that `FakeDatabase().unit_of_work()` is enough to write
        # embeddings.
        return weakref.finalize(self._state, forget_dimensions, self.dimensions)

    @property
    def dimensions(self) -> int:
        """Dimensions of the embeddings."""
        return self._state.dimensions

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def open(self) -> None:
        """Open a closed fake. Entities accept embeddings of its dimension, and its rows remain."""
        if not self._learned.alive:
            self._learned = self._learn_dimensions()

    async def close(self) -> None:
        """Close the fake: entities no longer accept embeddings of its dimension."""
        self._learned()

    def unit_of_work(
        self,
        *,
        tenant: str | None = None,
        operation_id: UUID | None = None,
        isolation: Isolation = Isolation.READ_COMMITTED,
    ) -> FakeUnitOfWork:
        """Return a unit of work of one tenant. Open it with `async with`.

        Args:
            tenant: by default `default`.
            operation_id: with it, `outcome` returns whether the unit of work was committed. Only
                one unit of work with the same id can be committed: the others raise
                `AlreadyCommitted`.
            isolation: the isolation level.

        Raises:
            InvalidInput: `tenant` is not a valid name of a tenant.
        """
        return FakeUnitOfWork(
            self._state,
            tenant=_named(tenant),
            operation_id=operation_id,
            isolation=isolation,
        )

    def reader(
        self, *, tenant: str | None = None, isolation: Isolation = Isolation.READ_COMMITTED
    ) -> FakeReader:
        """Return a read-only unit of work of one tenant. Open it with `async with`.

        Args:
            tenant: by default `default`.
            isolation: the isolation level.

        Raises:
            InvalidInput: `tenant` is not a valid name of a tenant.
        """
        return FakeReader(self._state, tenant=_named(tenant), isolation=isolation)

    async def run(
        self,
        work: Callable[[FakeUnitOfWork], Awaitable[T]],
        *,
        tenant: str | None = None,
        operation_id: UUID | None = None,
        isolation: Isolation = Isolation.READ_COMMITTED,
        attempts: int = ATTEMPTS,
        retry_for: timedelta = RETRY_FOR,
    ) -> T:
        """Run `work` in a unit of work and commit it, unless `work` did; retry where that is safe.

        `work` creates its entities itself and has no side effects outside the unit of work, because
        it may run several times. Nothing that was committed is repeated. An `ExceptionGroup` is
        retried if each error in it is safe to retry.

        Args:
            work: an async function of the unit of work.
            tenant: by default `default`.
            operation_id: identifies the message, request or job; committed at most once.
            isolation: the isolation level of each attempt.
            attempts: the maximum number of attempts.
            retry_for: the last attempt starts within this time.

        Returns:
            The result of `work` in the attempt that was committed.

        Raises:
            AlreadyCommitted: another call committed the operation.
        """
        loop, failures = asyncio.get_running_loop(), Failures()
        deadline = loop.time() + require_retry_for(retry_for).total_seconds()
        attempt = 0
        while True:
            attempt += 1
            uow = self.unit_of_work(tenant=tenant, operation_id=operation_id, isolation=isolation)
            try:
                return await _attempt(uow, work)
            except (RecollectError, ExceptionGroup) as error:
                if (
                    not failures.allow_another(error)
                    or attempt == attempts
                    or loop.time() >= deadline
                ):
                    raise

    def telemetry_recorder(
        self, *, tenant: str | None = None, **options: Unpack[RecorderOptions]
    ) -> TelemetryRecorder:
        """Return a recorder of single telemetry events of one tenant. Open it with `async with`.

        Args:
            tenant: by default `default`.
            options: see `TelemetryRecorder`.
        """
        return TelemetryRecorder(self, tenant=_named(tenant), **options)

    async def outcome(
        self,
        operation_id: UUID,
        *,
        tenant: str | None = None,
        wait_for: timedelta = OUTCOME_WITHIN,
    ) -> bool:
        """Return whether the unit of work with this operation id was committed.

        It waits while that unit of work is open.

        Args:
            operation_id: the id that the unit of work had.
            tenant: the tenant of the unit of work, by default `default`.
            wait_for: how long to wait for an open unit of work.

        Raises:
            LockTimeout: the unit of work was still open after `wait_for`.
        """
        table = self._state.tables[CommittedOperation.__tablename__]
        key = (_named(tenant), operation_id)
        await self._state.locks.wait(
            Owner(), (table.key.name, key), Mode.WRITE, within=wait_for.total_seconds()
        )
        return self._state.committed[table.name].get(key) is not None

    async def health(self) -> Health:
        """Return what the database reports about itself. A fake has no problems."""
        async with self.reader() as view:
            record = await view.embedding_metadata.find()
        return Health(
            server_version="in memory",
            pgvector_version=None,
            revision=None,
            expected_revision="",
            provider=None if record is None else record.provider,
            model=None if record is None else record.model,
            dimensions=self.dimensions,
            row_level_security=False,
            pool=self.pool_figures(),
            problems=(),
        )

    def pool_figures(self, *, readers: bool = False) -> PoolFigures:
        """Return how many units of work, or readers, are open. A fake has no connections.

        Args:
            readers: whether to count readers.
        """
        used = self._state.open_units[not readers]
        return PoolFigures(
            size=0, max_overflow=0, checked_in=0, checked_out=used, overflow=used, total=used
        )

    def _record_embedding(self, record: EmbeddingMetadata) -> None:
        table = self._state.tables[EmbeddingMetadata.__tablename__]
        row = table.stored(table.row_of(record, self._state.clock().astimezone(UTC)))
        layers = Layers(self._state.committed)
        layers.put(table.name, table.key_of(row), row)
        layers.put(table.key.name, table.key_of(row), table.key_of(row))
        layers.merge()


async def _attempt(uow: FakeUnitOfWork, work: Callable[[FakeUnitOfWork], Awaitable[T]]) -> T:
    try:
        async with uow:
            result = await call_work(work, uow)
            if uow.is_open:
                await uow.commit()
            return result
    except (RecollectError, ExceptionGroup) as error:
        if uow.committed:
            forbid_retry(error)
        raise
