"""Telemetry of runs: tokens, cost, durations, rate limits, retries."""

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

    The methods read telemetry events. Each of the other three tables is an attribute.
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
        """Return how many of the author's recent runs in the repository timed out.

        Args:
            repo: repository, as owner/name.
            author: login of the pull requests' author.
            days: only runs of the last `days` that ended with `timeout` or `timeout_partial`.

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
        """Return the sums of tokens, cost and duration of each group of events, ordered by key.

        Keys are ordered as Python orders strings.

        Args:
            by: the groups: model, repository, UTC day or event type.
            repo: only events of this repository.
            since: only events at this time or later.
            until: only events before this time.

        Raises:
            InvalidInput: `since` or `until` has no time zone.
        """
        ...


class TelemetryRepository(TelemetryReader, Repository[TelemetryEvent], Protocol):
    """Records telemetry."""

    async def record(self, event: TelemetryEvent) -> None:
        """Append the event at once. It is not tracked afterwards.

        Args:
            event: the event.

        Raises:
            TenantMismatch: the event belongs to another tenant.
        """
        ...

    async def record_many(
        self, events: Rows[TelemetryEvent], *, progress: Progress | None = None
    ) -> int:
        """Append the events, all or none, and return how many.

        Args:
            events: events, in memory or from an iterator, which can be asynchronous.
            progress: called after each batch with the number of rows sent so far. An exception that
                it raises aborts the unit of work.

        Raises:
            InvalidInput: an item is not a TelemetryEvent.
            TenantMismatch: an event belongs to another tenant.
        """
        ...

    async def record_rate_limit(self, event: RateLimitEvent) -> bool:
        """Append the event unless one with its `(delivery_id, event_type)` exists.

        Return whether it was written.

        Args:
            event: the event; without a delivery, it is always written.

        Raises:
            TenantMismatch: the event belongs to another tenant.
        """
        ...

    async def record_retrieval_quality(self, event: RetrievalQualityEvent) -> bool:
        """Append the event unless one with its delivery id exists.

        Return whether it was written.

        Args:
            event: the event; without a delivery, it is always written.

        Raises:
            TenantMismatch: the event belongs to another tenant.
        """
        ...

    async def record_resilience(self, event: ResilienceEvent) -> None:
        """Insert the event, or replace the one with its delivery id.

        A replaced event keeps its id and `created_at`.

        Args:
            event: the event.

        Raises:
            TenantMismatch: the event belongs to another tenant.
        """
        ...

    async def purge(
        self, *, older_than: timedelta, batch_size: int = 10_000, at_most: int | None = None
    ) -> int:
        """Delete older rows of all four tables and return how many.

        The rows stay locked until the unit of work ends. `Database.purge_telemetry` deletes any
        number of rows in many units of work.

        Args:
            older_than: age of the rows, since `created_at`.
            batch_size: largest number of rows that one statement deletes.
            at_most: largest number of rows to delete, one table after the other; None for all.

        Raises:
            InvalidInput: `older_than` is negative or over a hundred years, or `batch_size` or
                `at_most` is not between 1 and a million.
        """
        ...
