"""Changes of any number of rows, which a database makes in many units of work."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Protocol
from uuid import UUID

if TYPE_CHECKING:
    from domain.ports.repository import Progress
    from domain.values.filters import Filter


class BulkChangesPort(Protocol):
    """Changes of any number of rows.

    Each method commits one short unit of work after the other until no row is left to change. You
    can interrupt it at any moment: what it committed stays, and the next call continues. The number
    of rows of a unit of work follows the time that the previous one took, so no statement reaches
    its timeout. `progress` is called after each commit with the number of rows changed so far.
    """

    async def mark_memories_stale(
        self, model: str, *, tenant: str | None = None, progress: Progress | None = None
    ) -> int:
        """Mark the memories of other models than `model` stale, and return how many.

        Args:
            model: the embedding model whose memories stay as they are.
            tenant: the tenant, by default that of a unit of work.
            progress: called with the number of memories marked so far.

        Raises:
            InvalidInput: `model` is empty.
        """
        ...

    async def delete_stale_memories(
        self, *, tenant: str | None = None, progress: Progress | None = None
    ) -> int:
        """Delete the stale memories, and return how many there were.

        Args:
            tenant: the tenant, by default that of a unit of work.
            progress: called with the number of memories deleted so far.
        """
        ...

    async def purge_telemetry(
        self,
        *,
        older_than: timedelta,
        tenant: str | None = None,
        progress: Progress | None = None,
    ) -> int:
        """Delete older rows of all four tables of telemetry, and return how many.

        `Database.drop_telemetry_before` drops whole months of all tenants in less time.

        Args:
            older_than: age of the rows, since `created_at`.
            tenant: the tenant, by default that of a unit of work.
            progress: called with the number of rows deleted so far.

        Raises:
            InvalidInput: `older_than` is negative or over a hundred years.
        """
        ...

    async def purge_runs(
        self,
        *,
        completed_days: float = 30,
        superseded_days: float = 7,
        pending_hours: float = 1,
        tenant: str | None = None,
        progress: Progress | None = None,
    ) -> int:
        """Delete old runs, as `runs.purge` does, and return how many.

        Args:
            completed_days: age of completed runs, since `completed_at`.
            superseded_days: age of superseded runs, since `claimed_at`.
            pending_hours: age, since `claimed_at`, of unfinished runs whose lease has expired.
            tenant: the tenant, by default that of a unit of work.
            progress: called with the number of runs deleted so far.

        Raises:
            InvalidInput: an age is negative, not a number, or over a hundred years.
        """
        ...

    async def purge_authors(
        self, *, days: float = 7, tenant: str | None = None, progress: Progress | None = None
    ) -> int:
        """Delete cached authors that are older, and return how many.

        Args:
            days: age of the entries, since `cached_at`.
            tenant: the tenant, by default that of a unit of work.
            progress: called with the number of entries deleted so far.

        Raises:
            InvalidInput: `days` is negative, not a number, or over a hundred years.
        """
        ...

    async def delete_chunks(
        self,
        where: Filter | None = None,
        *,
        tenant: str | None = None,
        progress: Progress | None = None,
    ) -> int:
        """Delete the knowledge chunks that meet the filter, and return how many.

        Args:
            where: condition on the chunks; None deletes all chunks of the tenant.
            tenant: the tenant, by default that of a unit of work.
            progress: called with the number of chunks deleted so far.

        Raises:
            InvalidFilter: the filter is empty, or does not fit the entity.
        """
        ...

    async def clear_reactions(
        self, repo: str, *, tenant: str | None = None, progress: Progress | None = None
    ) -> int:
        """Delete the reactions of a repository, and return how many.

        Args:
            repo: repository, as owner/name.
            tenant: the tenant, by default that of a unit of work.
            progress: called with the number of reactions deleted so far.
        """
        ...

    async def delete_review(
        self, id: UUID, *, tenant: str | None = None, progress: Progress | None = None
    ) -> bool:
        """Delete a review of any size; return whether it existed.

        Its findings are deleted first, with their reactions, and the review last: after an
        interruption it exists with the findings that are left.

        Args:
            id: the id of the review.
            tenant: the tenant, by default that of a unit of work.
            progress: called with the number of findings deleted so far.

        Raises:
            InvalidInput: `id` is not a UUID.
        """
        ...
