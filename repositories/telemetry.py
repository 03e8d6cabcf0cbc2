"""Telemetry of runs, in PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from domain import ports
from domain.entities.telemetry import (
    TELEMETRY_ENTITIES,
    RateLimitEvent,
    ResilienceEvent,
    RetrievalQualityEvent,
    TelemetryEvent,
)
from domain.ports.implementing import implements
from domain.values.numbers import require_whole
from domain.values.paging import MAX_BATCH_SIZE, require_at_most
from domain.values.timestamps import days_old, require_age, require_zone
from domain.values.turns import slices
from domain.values.usage import Usage, UsageBy
from repositories.base import ReadRepository, Repository
from repositories.conflict_writes import insert_new, insert_or_replace
from repositories.sql import usage
from repositories.sql.retention import FIRST_ID, delete_batch

if TYPE_CHECKING:
    from domain.ports import Progress, Rows
    from domain.schema.base import Entity
    from repositories.postgres.compiled_statements import Row
    from repositories.postgres.transaction import Transaction


@implements(ports.TelemetryReader)
class TelemetryReader(ReadRepository[TelemetryEvent]):
    """Reads telemetry."""

    entity = TelemetryEvent

    def __init__(
        self, transaction: Transaction, entity: type[TelemetryEvent] = TelemetryEvent
    ) -> None:
        super().__init__(transaction, entity)
        self.rate_limits = ReadRepository(transaction, RateLimitEvent)
        self.retrieval_quality = ReadRepository(transaction, RetrievalQualityEvent)
        self.resilience = ReadRepository(transaction, ResilienceEvent)

    async def count_recent_timeouts(self, repo: str, author: str, *, days: float = 7) -> int:
        statement = usage.count_timeouts(self._transaction.tenant, repo, author, days_old(days))
        return int(await self._scalar(statement))

    async def usage(
        self,
        *,
        by: UsageBy,
        repo: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> Sequence[Usage]:
        bounds = {"since": require_zone(since, "since"), "until": require_zone(until, "until")}
        statement = usage.usage(self._transaction.tenant, by, repo=repo, **bounds)
        rows = await self._transaction.rows(statement)
        return [_usage(row) async for some in slices(rows) for row in some]


@implements(ports.TelemetryRepository)
class TelemetryRepository(TelemetryReader, Repository[TelemetryEvent]):
    """Records telemetry."""

    async def record(self, event: TelemetryEvent) -> None:
        await self.add_many([event])

    async def record_many(
        self, events: Rows[TelemetryEvent], *, progress: Progress | None = None
    ) -> int:
        return await self.add_many(events, progress=progress)

    async def record_rate_limit(self, event: RateLimitEvent) -> bool:
        key = ("delivery_id", "event_type")
        return (
            await insert_new(
                self._transaction, RateLimitEvent, [event], key, where_not_null="delivery_id"
            )
            > 0
        )

    async def record_retrieval_quality(self, event: RetrievalQualityEvent) -> bool:
        key = ("delivery_id",)
        return (
            await insert_new(
                self._transaction, RetrievalQualityEvent, [event], key, where_not_null="delivery_id"
            )
            > 0
        )

    async def record_resilience(self, event: ResilienceEvent) -> None:
        await insert_or_replace(self._transaction, ResilienceEvent, event, "delivery_id")

    async def purge(
        self, *, older_than: timedelta, batch_size: int = 10_000, at_most: int | None = None
    ) -> int:
        require_whole(batch_size, "batch_size", most=MAX_BATCH_SIZE)
        age, left = require_age(older_than, "older_than"), require_at_most(at_most)
        deleted = 0
        for entity in TELEMETRY_ENTITIES:
            if left is None or left > deleted:
                most = None if left is None else left - deleted
                deleted += await self._purge(entity, age, batch_size, at_most=most)
        return deleted

    async def _purge(
        self, entity: type[Entity], age: timedelta, batch_size: int, *, at_most: int | None
    ) -> int:
        deleted, after = 0, FIRST_ID
        while at_most is None or deleted < at_most:
            size = batch_size if at_most is None else min(batch_size, at_most - deleted)
            statement = delete_batch(entity, self._transaction.tenant, age, after=after, size=size)
            batch = (await self._transaction.execute(statement)).mappings().one()
            deleted, after = deleted + int(batch["deleted"]), batch["last"]
            if batch["found"] < size:
                break
        return deleted


def _usage(row: Row) -> Usage:
    # The server's sum of bigints is numeric, as no bigint might hold it.
    tokens = {
        name: int(row[name])
        for name in ("input_tokens", "output_tokens", "cache_read_tokens", "cache_creation_tokens")
    }
    return Usage(
        key=row["key"],
        runs=row["runs"],
        **tokens,
        duration_ms=int(row["duration_ms"]),
        cost_usd=row["cost_usd"],
    )
