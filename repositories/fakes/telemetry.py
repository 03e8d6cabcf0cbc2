"""Telemetry of runs, in memory."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

from domain import ports
from domain.entities.telemetry import (
    TELEMETRY_ENTITIES,
    TIMEOUT_CONCLUSIONS,
    RateLimitEvent,
    ResilienceEvent,
    RetrievalQualityEvent,
    TelemetryEvent,
)
from domain.ports.implementing import implements
from domain.values.numbers import require_whole
from domain.values.paging import MAX_BATCH_SIZE, require_at_most
from domain.values.timestamps import days_old, require_age, require_zone
from domain.values.usage import Usage, UsageBy
from repositories.fakes.repository import FakeReadRepository, FakeRepository

if TYPE_CHECKING:
    from domain.ports import Progress, Rows
    from repositories.fakes.checks import Row
    from repositories.fakes.transaction import Transaction


@implements(ports.TelemetryReader)
class FakeTelemetryReader(FakeReadRepository[TelemetryEvent]):
    """Reads telemetry."""

    def __init__(
        self, transaction: Transaction, entity: type[TelemetryEvent] = TelemetryEvent
    ) -> None:
        super().__init__(transaction, entity)
        self.rate_limits = FakeReadRepository(transaction, RateLimitEvent)
        self.retrieval_quality = FakeReadRepository(transaction, RetrievalQualityEvent)
        self.resilience = FakeReadRepository(transaction, ResilienceEvent)

    async def count_recent_timeouts(self, repo: str, author: str, *, days: float = 7) -> int:
        age = days_old(days)
        rows = await self._rows(
            lambda row: (
                (row["repo"], row["pr_author"]) == (repo, author)
                and row["conclusion"] in TIMEOUT_CONCLUSIONS
            )
        )
        return sum(row["created_at"] >= self._transaction.now - age for row in rows)

    async def usage(
        self,
        *,
        by: UsageBy,
        repo: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> Sequence[Usage]:
        start, end = require_zone(since, "since"), require_zone(until, "until")
        groups: defaultdict[str, list[Row]] = defaultdict(list)
        for row in await self._rows(lambda row: repo is None or row["repo"] == repo):
            if (start is None or row["created_at"] >= start) and (
                end is None or row["created_at"] < end
            ):
                groups[_key(row, by)].append(row)
        return [_usage(key, groups[key]) for key in sorted(groups)]


@implements(ports.TelemetryRepository)
class FakeTelemetryRepository(FakeTelemetryReader, FakeRepository[TelemetryEvent]):
    """Records telemetry."""

    def __init__(
        self, transaction: Transaction, entity: type[TelemetryEvent] = TelemetryEvent
    ) -> None:
        super().__init__(transaction, entity)
        self._rate_limits = FakeRepository(transaction, RateLimitEvent)
        self._retrieval_quality = FakeRepository(transaction, RetrievalQualityEvent)
        self._resilience = FakeRepository(transaction, ResilienceEvent)

    async def record(self, event: TelemetryEvent) -> None:
        await self.add_many([event])

    async def record_many(
        self, events: Rows[TelemetryEvent], *, progress: Progress | None = None
    ) -> int:
        return await self.add_many(events, progress=progress)

    async def record_rate_limit(self, event: RateLimitEvent) -> bool:
        return await self._rate_limits.add_new([event], "delivery_id", "event_type") > 0

    async def record_retrieval_quality(self, event: RetrievalQualityEvent) -> bool:
        return await self._retrieval_quality.add_new([event], "delivery_id") > 0

    async def record_resilience(self, event: ResilienceEvent) -> None:
        await self._resilience.replace(event, "delivery_id")

    async def purge(
        self, *, older_than: timedelta, batch_size: int = 10_000, at_most: int | None = None
    ) -> int:
        require_whole(batch_size, "batch_size", most=MAX_BATCH_SIZE)
        age, left = require_age(older_than, "older_than"), require_at_most(at_most)
        tables = [
            self._transaction.state.tables[entity.__tablename__] for entity in TELEMETRY_ENTITIES
        ]
        async with self._transaction.statement():
            written_before = self._transaction.now - age
            deleted = 0
            for table in tables:
                if left is None or left > deleted:
                    deleted += await self._transaction.tenant_rows.delete(
                        table,
                        lambda row: row["created_at"] < written_before,
                        at_most=None if left is None else left - deleted,
                    )
            return deleted


def _key(row: Row, by: UsageBy) -> str:
    if by is UsageBy.DAY:
        written: datetime = row["created_at"]
        return written.astimezone(UTC).date().isoformat()
    return str(row[by.value])


def _usage(key: str, rows: Sequence[Row]) -> Usage:
    return Usage(
        key=key,
        runs=len(rows),
        input_tokens=sum(row["input_tokens"] for row in rows),
        output_tokens=sum(row["output_tokens"] for row in rows),
        cache_read_tokens=sum(row["cache_read_tokens"] for row in rows),
        cache_creation_tokens=sum(row["cache_creation_tokens"] for row in rows),
        duration_ms=sum(row["duration_ms"] for row in rows),
        cost_usd=sum((row["cost_usd"] for row in rows), start=Decimal(0)),
    )
