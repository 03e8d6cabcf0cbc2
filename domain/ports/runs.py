"""Runs and their checkpoints."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Protocol
from uuid import UUID

from domain.entities.runs import ReviewCheckpoint, RunState
from domain.ports.repository import ReadRepository, Repository
from domain.values.claims import STALE_RUN_AFTER

if TYPE_CHECKING:
    from domain.values.claims import RunClaim, RunStatus


class RunReader(ReadRepository[RunState], Protocol):
    """Reads runs."""

    async def find_by_key(self, run_key: str) -> RunState | None:
        """Return the run with this key, or None.

        Args:
            run_key: the key of a claim, or of `domain.run_key`.
        """
        ...

    async def last_reviewed_head(self, repo: str, pr_number: int) -> str | None:
        """Return the head whose review was completed last, or None if no review was completed.

        Claims of other heads do not change the answer, and neither does a new claim of the same
        head. The last has the latest `completed_at`; of equal ones, the highest id.

        Args:
            repo: repository, as owner/name.
            pr_number: number of the pull request.
        """
        ...


class RunRepository(RunReader, Repository[RunState], Protocol):
    """Claims and completes runs.

    A worker claims the run of a head, sends heartbeats while it reviews, and completes the run. The
    claim's `attempt` is its token: once another attempt has claimed the run, `heartbeat` and
    `complete` with the old token raise `LeaseLost`.

    ==========================================  =================================================
    Event                                       Outcome
    ==========================================  =================================================
    First webhook of a head                     `new`, or `superseded-prior` if another head of
                                                the pull request was unfinished
    The same webhook again, or another webhook  `duplicate`
    of a head that is being reviewed
    The same head, its review completed         `duplicate`
    Force push to another head                  `superseded-prior`; the first run's `heartbeat`
                                                and `complete` return `superseded`
    Force push back to a superseded head, with  `returned`, if no other head is being reviewed, or
    a new delivery id                           if `occurred_at` is later than the event of the
                                                run in progress, which is then superseded;
                                                otherwise `duplicate` or `outdated`
    Late webhook (`occurred_at` is earlier      `outdated`; nothing changes
    than the event of the run in progress)
    A person requests a review (`again`, with   `requested`; `last_reviewed_head` stays until
    a new delivery id) of a completed or        another review is completed
    superseded head
    The same request again, or for a head that  `duplicate`
    is being reviewed
    Crashed worker: the lease expired           `stale-pending` or `stale-running` for the same
                                                head, `superseded-prior` for another head
    Slow worker, lease expired, run not         `heartbeat` extends the lease, `complete` completes
    claimed again
    Slow worker, run claimed again              `heartbeat` and `complete` raise `LeaseLost`
    ==========================================  =================================================
    """

    async def claim(
        self,
        repo: str,
        pr_number: int,
        *,
        base_sha: str,
        head_sha: str,
        delivery_id: str,
        action: str,
        occurred_at: datetime | None = None,
        again: bool = False,
        lease: timedelta = STALE_RUN_AFTER,
    ) -> RunClaim:
        """Claim the run of a head.

        Exactly one of the concurrent callers for a pull request gets the claim. Callers are
        concurrent if one claims an unfinished run of the pull request after the other entered its
        unit of work. The caller that lost gets `duplicate`; it can claim in a new unit of work. The
        class docstring lists all outcomes.

        Args:
            repo: repository, as owner/name.
            pr_number: number of the pull request.
            base_sha: commit that the pull request starts from.
            head_sha: commit to review.
            delivery_id: id of the webhook delivery. A delivery that claimed a finished run does not
                claim it again.
            action: event of the pull request.
            occurred_at: time of the event. With it, a late webhook supersedes nothing, and a head
                that returns by a force push is claimed.
            again: whether a person requests another review of a head that was reviewed or
                superseded.
            lease: time until another claim can take the run if no heartbeat follows; one hour at
                most.

        Raises:
            InvalidInput: a text is empty or longer than 400 bytes, `pr_number` is out of range,
                `occurred_at` has no time zone, or `lease` is out of range. No statement was sent.
        """
        ...

    async def heartbeat(
        self, run_key: str, attempt: UUID, *, lease: timedelta = STALE_RUN_AFTER
    ) -> RunStatus:
        """Extend the lease of an unfinished run and return its status.

        Commit soon after: others see the new lease only then. A pending run becomes running. A
        completed or superseded run stays as it is; stop the review if the status is not `running`.

        Args:
            run_key: key of the run.
            attempt: token of the claim.
            lease: time from now until another claim can take the run.

        Raises:
            LeaseLost: another attempt has the run.
            NotFound: the run does not exist; an expired run can have been purged.
            InvalidInput: `attempt` is not a UUID, or `lease` is out of range.
        """
        ...

    async def complete(self, run_key: str, attempt: UUID) -> RunStatus:
        """Complete the run and return its status: completed, or superseded, which it stays.

        Completing it again with the same attempt changes nothing.

        Args:
            run_key: key of the run.
            attempt: token of the claim.

        Raises:
            LeaseLost: another attempt has the run.
            NotFound: the run does not exist; an expired run can have been purged.
            InvalidInput: `attempt` is not a UUID.
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
        """Delete old runs and return how many.

        A run in progress stays, and so does a run whose head was reviewed within `completed_days`.

        Args:
            completed_days: age of completed runs, since `completed_at`.
            superseded_days: age of superseded runs, since `claimed_at`.
            pending_hours: age, since `claimed_at`, of unfinished runs whose lease has expired.
            at_most: largest number of runs to delete, lowest ids first; None for all.

        Raises:
            InvalidInput: an age is negative, not a number, or over a hundred years; `at_most` is
                not between 1 and a million.
        """
        ...


class CheckpointReader(ReadRepository[ReviewCheckpoint], Protocol):
    """Reads the progress of reviews."""

    async def find_by_key(self, review_output_key: str) -> ReviewCheckpoint | None:
        """Return the checkpoint with this key, or None.

        Args:
            review_output_key: key of the output of the review.
        """
        ...


class CheckpointRepository(CheckpointReader, Repository[ReviewCheckpoint], Protocol):
    """Saves the progress of reviews."""

    async def save(self, checkpoint: ReviewCheckpoint) -> None:
        """Insert the checkpoint, or replace the one with the same `review_output_key`.

        A replaced checkpoint keeps its id and `created_at`, and its comment id if the new one has
        none.

        Args:
            checkpoint: progress of the review.

        Raises:
            TenantMismatch: the checkpoint belongs to another tenant.
        """
        ...

    async def set_comment(self, review_output_key: str, comment_id: int) -> bool:
        """Record the comment with the partial result; return whether the checkpoint exists.

        Args:
            review_output_key: key of the output of the review.
            comment_id: id of the comment at the code host.
        """
        ...

    async def delete_by_key(self, review_output_key: str) -> bool:
        """Delete the checkpoint; return whether it existed.

        Args:
            review_output_key: key of the output of the review.
        """
        ...
