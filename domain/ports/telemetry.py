"""What it cost and how it went."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Protocol

from domain.entities.telemetry import TelemetryEvent
from domain.ports.repository import Progress, ReadRepository, Repository, Rows

if TYPE_CHECKING:
    from domain.entities.telemetry import RateLimitEvent, ResilienceEvent, RetrievalQualityEvent
    from domain.values.usage import Usage, UsageBy


class TelemetryReader(ReadRepository[TelemetryEvent], Protocol):
    """Reads telemetry.

    The listing is of telemetry events; the other three tables are attributes.
    """

    @property
    def rate_limits(self) -> ReadRepository[RateLimitEvent]:
        """Rate limit events."""
        ...

    @property
    def retrieval_quality(self) -> ReadRepository[RetrievalQualityEvent]:
        """Retrieval quality events."""
        ...

    @property
    def resilience(self) -> ReadRepository[ResilienceEvent]:
        """Timeouts and retries."""
        ...

    async def count_recent_timeouts(self, repo: str, author: str, *, days: float = 7) -> int:
        """Return how many of the author's runs in the repository ended with `timeout` or
        `timeout_partial` in the last `days`.

        Raises:
            InvalidInput: `days` is negative, not a number, or over a hundred years.
        """
        ...

    async def usage(
        self,
        *,
        by: UsageBy,
        repo: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> Sequence[Usage]:
        """Return the sums by model, repository, UTC day or event type, of events from `since` until
        before `until`.

        They are ordered by key, as Python orders strings.

        Raises:
            InvalidInput: `since` or `until` has no time zone.
        """
        ...


class TelemetryRepository(TelemetryReader, Repository[TelemetryEvent], Protocol):
    """Records telemetry."""

    async def record(self, event: TelemetryEvent) -> None:
        """Append the event. It is written now, and not tracked afterwards."""
        ...

    async def record_many(
        self, events: Rows[TelemetryEvent], *, progress: Progress | None = None
    ) -> int:
        """Append the events, all or none, and return how many."""
        ...

    async def record_rate_limit(self, event: RateLimitEvent) -> bool:
        """Append the event unless one with its `(delivery_id, event_type)` exists.

        Return whether it was written.
        """
        ...

    async def record_retrieval_quality(self, event: RetrievalQualityEvent) -> bool:
        """Append the event unless one with its delivery id exists.

        Return whether it was written.
        """
        ...

    async def record_resilience(self, event: ResilienceEvent) -> None:
        """Insert the event or replace the one with its delivery id whole.

        `created_at` and id stay.
        """
        ...

    async def purge(self, *, older_than: timedelta, batch_size: int = 10_000) -> int:
        """Delete older rows of all four tables, `batch_size` a statement, and return how many there
        were.

        Raises:
            InvalidInput: `older_than` is negative or over a hundred years, or `batch_size` less
                than 1.
        """
        ...
