"""Claims of runs: exactly one worker reviews each head of a pull request."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final
from uuid import UUID

from domain.errors import InvalidInput, LeaseLost
from domain.values.numbers import is_whole
from domain.values.shown import kind_of, shown
from domain.values.text import require_any_text
from domain.values.timestamps import is_duration

STALE_RUN_AFTER: Final = timedelta(hours=1)
"""How long a claim holds its run if no heartbeat follows."""


class RunStatus(StrEnum):
    """Status of a run.

    Pending: claimed, and no heartbeat since. Running: claimed, and its worker sent a heartbeat.
    Completed: reviewed. Superseded: another head of the pull request was claimed instead.
    """

    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    SUPERSEDED = "superseded"


UNFINISHED: Final = frozenset({RunStatus.PENDING, RunStatus.RUNNING})

ALLOWED_CHANGES: Final[dict[RunStatus, frozenset[RunStatus]]] = {
    RunStatus.PENDING: frozenset(RunStatus),
    RunStatus.RUNNING: frozenset(RunStatus),
    RunStatus.COMPLETED: frozenset({RunStatus.PENDING}),
    RunStatus.SUPERSEDED: frozenset({RunStatus.PENDING}),
}
"""Statuses that can follow each status. A run returns to pending only by a claim."""


class ClaimOutcome(StrEnum):
    """Why a claim was granted or refused."""

    NEW = "new"
    """Granted: the first claim of this head, and no run of the pull request was unfinished."""

    SUPERSEDED_PRIOR = "superseded-prior"
    """Granted: the first claim of this head; it superseded an unfinished run."""

    STALE_PENDING = "stale-pending"
    """Granted: the lease of the pending run had expired."""

    STALE_RUNNING = "stale-running"
    """Granted: the lease of the running run had expired."""

    RETURNED = "returned"
    """Granted: the head was superseded, and is the newest again after a force push."""

    REQUESTED = "requested"
    """Granted: a person requested another review of this head (`again`)."""

    DUPLICATE = "duplicate"
    """Refused: the head is being reviewed, was reviewed, or a concurrent caller has the claim."""

    OUTDATED = "outdated"
    """Refused: the event is older than the one that started the run in progress."""


REFUSED: Final = frozenset({ClaimOutcome.DUPLICATE, ClaimOutcome.OUTDATED})


@dataclass(frozen=True, slots=True, kw_only=True)
class RunClaim:
    """The answer to one claim.

    `attempt` identifies this claim: `heartbeat` and `complete` require it. The token of a refused
    claim holds nothing. `superseded` has the keys of the unfinished runs that the claim superseded.
    """

    run_key: str
    outcome: ClaimOutcome
    attempt: UUID
    superseded: tuple[str, ...] = ()

    @property
    def claimed(self) -> bool:
        """Whether the claim was granted, so that the caller reviews the head."""
        return self.outcome not in REFUSED


@dataclass(frozen=True, slots=True, kw_only=True)
class ExistingRun:
    """A stored run that a claim has to consider. `is_expired`: its lease has expired."""

    run_key: str
    status: RunStatus
    delivery_id: str
    claimed_at: datetime
    occurred_at: datetime | None
    is_expired: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimRequest:
    """One request to review a head."""

    delivery_id: str
    occurred_at: datetime | None = None
    again: bool = False

    def decide(self, *, same_head: ExistingRun | None, other: ExistingRun | None) -> ClaimOutcome:
        """Return the outcome, callers at the same moment aside.

        Args:
            same_head: the run with the requested key.
            other: the unfinished run of another head of the pull request.
        """
        if same_head is None:
            if self._is_older_than(other):
                return ClaimOutcome.OUTDATED
            return ClaimOutcome.NEW if other is None else ClaimOutcome.SUPERSEDED_PRIOR
        if same_head.status in UNFINISHED:
            return _decide_unfinished(same_head)
        if same_head.delivery_id == self.delivery_id:
            return ClaimOutcome.DUPLICATE
        if self.again:
            return ClaimOutcome.OUTDATED if self._is_older_than(other) else ClaimOutcome.REQUESTED
        if same_head.status is RunStatus.COMPLETED:
            return ClaimOutcome.DUPLICATE
        return self._decide_returned(other)

    def _decide_returned(self, other: ExistingRun | None) -> ClaimOutcome:
        if other is None or other.is_expired:
            return ClaimOutcome.RETURNED
        if self.occurred_at is None:
            return ClaimOutcome.DUPLICATE
        is_later = self.occurred_at > (other.occurred_at or other.claimed_at)
        return ClaimOutcome.RETURNED if is_later else ClaimOutcome.OUTDATED

    def _is_older_than(self, other: ExistingRun | None) -> bool:
        if other is None or other.occurred_at is None or self.occurred_at is None:
            return False
        return self.occurred_at < other.occurred_at


def _decide_unfinished(run: ExistingRun) -> ClaimOutcome:
    if not run.is_expired:
        return ClaimOutcome.DUPLICATE
    is_running = run.status is RunStatus.RUNNING
    return ClaimOutcome.STALE_RUNNING if is_running else ClaimOutcome.STALE_PENDING


def require_attempt(run_key: str, *, current: UUID, attempt: UUID) -> None:
    """Return if the attempt of the caller has the run.

    Raises:
        LeaseLost: another attempt has the run.
    """
    if current != attempt:
        raise LeaseLost(run_key)


def require_lease(lease: timedelta, *, most: timedelta) -> timedelta:
    """Return a lease that is longer than zero and not longer than `most`.

    Raises:
        InvalidInput: it is not.
    """
    if not is_duration(lease) or not timedelta(0) < lease <= most:
        raise InvalidInput(
            f"lease must be a timedelta above 0, up to {most}, not {shown(lease)}", field="lease"
        )
    return lease


def run_key(repo: str, pr_number: int, base_sha: str, head_sha: str) -> str:
    """Return the key of the run for a repository, pull request, base and head.

    The key is readable, and the same for the same four arguments.

    Raises:
        InvalidInput: an argument is of another type, or Python cannot convert the number to text
            because it has too many digits.
    """
    for field, text in (("repo", repo), ("base_sha", base_sha), ("head_sha", head_sha)):
        require_any_text(text, field)
    if not is_whole(pr_number):
        raise InvalidInput(
            f"pr_number must be a whole number, not {kind_of(pr_number)}", field="pr_number"
        )
    # The entity checks whether the values can be stored.
    try:
        number = str(pr_number)
    except ValueError:
        raise InvalidInput("pr_number has too many digits", field="pr_number") from None
    parts = "\n".join((repo, number, base_sha, head_sha)).encode(errors="surrogatepass")
    digest = hashlib.sha256(parts).hexdigest()
    return "".join((repo, "#", number, "@", digest[:32]))
