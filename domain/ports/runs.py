"""Runs and their checkpoints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from domain.entities.runs import ReviewCheckpoint, RunState
from domain.ports.repository import ReadRepository, Repository

if TYPE_CHECKING:
    from domain.entities.runs import RunStatus
    from domain.values.claims import RunClaim


class RunReader(ReadRepository[RunState], Protocol):
    """Reads runs."""

    async def find_by_key(self, run_key: str) -> RunState | None:
        """Return the run, or None."""
        ...

    async def last_reviewed_head(self, repo: str, pr_number: int) -> str | None:
        """Return the head of the newest completed run, whatever was claimed since; None where none
        completed.

        The newest has the latest `completed_at`, of equals the highest id.
        """
        ...


class RunRepository(RunReader, Repository[RunState], Protocol):
    """Claims and completes runs."""

    async def claim(
        self,
        repo: str,
        pr_number: int,
        *,
        base_sha: str,
        head_sha: str,
        delivery_id: str,
        action: str,
    ) -> RunClaim:
        """Claim the run of this head; of any number of concurrent callers for one pull request
        exactly one is granted it.

        New key: every other unfinished run of the pull request becomes superseded by it (`new`, or
        `superseded-prior` with their keys). Existing key, pending for over an hour
        (`STALE_RUN_AFTER`): claimed again for this delivery and action, and its clock starts anew
        (`stale-pending`). Existing otherwise: `duplicate`.

        `duplicate` as well if another unit of work claimed an unfinished run of this pull request,
        of whatever head, after this unit of work was entered, or has claimed it and not committed
        yet: that is what concurrent means. Who lost to another head and still wants his own claims
        again in a new unit of work.

        Raises:
            ValidationError: what `RunState` refuses, before any statement.
            InvalidInput: `pr_number` has more digits than Python writes down.
        """
        ...

    async def complete(self, run_key: str) -> RunStatus:
        """Complete the run now and return its status: completed, or superseded, which it stays.
        Doing it again changes nothing.

        Raises:
            NotFound: no such run.
        """
        ...

    async def purge(
        self,
        *,
        completed_days: float = 30,
        superseded_days: float = 7,
        pending_hours: float = 1,
        at_most: int | None = None,
    ) -> int:
        """Delete runs completed, superseded or left pending for longer, or the first `at_most`;
        return how many. Running ones stay.

        Each has its own age: since `completed_at` where it is completed, since `claimed_at` where
        it is superseded or pending.

        Raises:
            InvalidInput: an age is negative, not a number, or over a hundred years; `at_most` is
                not between 1 and a million.
        """
        ...


class CheckpointReader(ReadRepository[ReviewCheckpoint], Protocol):
    """Reads how far reviews have come."""

    async def find_by_key(self, review_output_key: str) -> ReviewCheckpoint | None:
        """Return the checkpoint, or None."""
        ...


class CheckpointRepository(CheckpointReader, Repository[ReviewCheckpoint], Protocol):
    """Saves how far reviews have come."""

    async def save(self, checkpoint: ReviewCheckpoint) -> None:
        """Insert the checkpoint or replace the one with the same `review_output_key`; a missing
        comment id keeps the old one.

        Of a replaced checkpoint id and `created_at` stay.
        """
        ...

    async def set_comment(self, review_output_key: str, comment_id: int) -> bool:
        """Record the comment with the partial result; return whether there is such a checkpoint."""
        ...

    async def delete_by_key(self, review_output_key: str) -> bool:
        """Delete the checkpoint; return whether there was one."""
        ...
