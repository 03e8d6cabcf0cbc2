"""Runs and their checkpoints, in memory."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final, cast
from uuid import UUID

from domain import ports
from domain.entities.runs import ReviewCheckpoint, RunState
from domain.errors import AlreadyExists, NotFound
from domain.ports.implementing import implements
from domain.values.claims import (
    REFUSED,
    STALE_RUN_AFTER,
    UNFINISHED,
    ClaimOutcome,
    ClaimRequest,
    ExistingRun,
    RunClaim,
    RunStatus,
    require_attempt,
    require_lease,
    run_key,
)
from domain.values.ids import require_id
from domain.values.paging import require_at_most
from domain.values.timestamps import MAX_AGE, days_old, hours_old, require_zone
from repositories.fakes.repository import FakeReadRepository, FakeRepository, by_id
from repositories.fakes.writes import always

if TYPE_CHECKING:
    from collections.abc import Sequence

    from repositories.fakes.checks import Row
    from repositories.fakes.transaction import Transaction
    from repositories.fakes.writes import Condition

_CLAIMS: Final = "claims of runs"
"""Which unit of work claimed each run, and when, as numbers of the database's `ticks`.

A rollback undoes the entry together with the claim.
"""


@implements(ports.RunReader)
class FakeRunReader(FakeReadRepository[RunState]):
    """Reads runs."""

    async def find_by_key(self, run_key: str) -> RunState | None:
        return self._first(await self._rows(lambda row: row["run_key"] == run_key))

    async def last_reviewed_head(self, repo: str, pr_number: int) -> str | None:
        async with self._transaction.statement():
            run = await newest_completed(self._transaction, repo, pr_number)
        return None if run is None else cast("str", run["head_sha"])


@implements(ports.RunRepository)
class FakeRunRepository(FakeRunReader, FakeRepository[RunState]):
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
        occurred_at: datetime | None = None,
        again: bool = False,
        lease: timedelta = STALE_RUN_AFTER,
    ) -> RunClaim:
        require_lease(lease, most=STALE_RUN_AFTER)
        run = RunState(
            run_key=run_key(repo, pr_number, base_sha, head_sha),
            repo=repo,
            pr_number=pr_number,
            base_sha=base_sha,
            head_sha=head_sha,
            delivery_id=delivery_id,
            action=action,
            occurred_at=require_zone(occurred_at, "occurred_at"),
        )
        async with self._transaction.statement():
            run.claimed_at = self._transaction.state.clock()
            run.lease_expires_at = run.claimed_at + lease
            self._transaction.assign_tenant(run)
            claim = await self._claim(run, again=again)
            if claim.claimed:
                self._remember(claim.run_key)
        return claim

    async def heartbeat(
        self, run_key: str, attempt: UUID, *, lease: timedelta = STALE_RUN_AFTER
    ) -> RunStatus:
        require_lease(lease, most=MAX_AGE)
        expires = self._transaction.state.clock() + lease
        return await self._change_unfinished(
            run_key,
            require_id(attempt, "attempt"),
            {"status": RunStatus.RUNNING, "lease_expires_at": expires},
        )

    async def complete(self, run_key: str, attempt: UUID) -> RunStatus:
        token = require_id(attempt, "attempt")
        now = self._transaction.now
        changes = {"status": RunStatus.COMPLETED, "completed_at": now, "lease_expires_at": None}
        return await self._change_unfinished(run_key, token, changes)

    async def purge(
        self,
        *,
        completed_days: float = 30,
        superseded_days: float = 7,
        pending_hours: float = 1,
        at_most: int | None = None,
    ) -> int:
        completed = days_old(completed_days, "completed_days")
        claimed = {
            RunStatus.SUPERSEDED: days_old(superseded_days, "superseded_days"),
            RunStatus.PENDING: hours_old(pending_hours, "pending_hours"),
            RunStatus.RUNNING: hours_old(pending_hours, "pending_hours"),
        }

        def is_old(row: Row) -> bool:
            now, reviewed = self._transaction.now, row["completed_at"]
            if row["status"] is RunStatus.COMPLETED:
                return reviewed is not None and reviewed < now - completed
            if _is_unfinished(row) and not self._has_expired(row):
                return False
            if reviewed is not None and reviewed >= now - completed:
                return False
            return bool(row["claimed_at"] < now - claimed[row["status"]])

        return await self._delete(is_old, at_most=require_at_most(at_most))

    async def _change_unfinished(self, run_key: str, attempt: UUID, changes: Row) -> RunStatus:
        def change(row: Row) -> Row:
            return changes if _is_unfinished(row) and row["attempt"] == attempt else {}

        async with self._transaction.statement():
            await self._transaction.tenant_rows.update(
                self._table, lambda row: row["run_key"] == run_key, change
            )
            rows = await self._transaction.tenant_rows.select(
                self._table, lambda row: row["run_key"] == run_key
            )
        if not rows:
            raise NotFound(self._entity.__name__, run_key)
        require_attempt(run_key, current=rows[0]["attempt"], attempt=attempt)
        return RunStatus(rows[0]["status"])

    async def _claim(self, run: RunState, *, again: bool) -> RunClaim:
        rows = await self._competing_runs(run)
        same_head = rows.pop(run.run_key, None)
        other = next(iter(rows.values()), None)
        request = ClaimRequest(
            delivery_id=run.delivery_id, occurred_at=run.occurred_at, again=again
        )
        outcome = request.decide(same_head=self._existing(same_head), other=self._existing(other))
        if outcome not in REFUSED and self._is_concurrent(same_head, other):
            outcome = ClaimOutcome.DUPLICATE
        superseded = tuple(rows)
        if outcome not in REFUSED and not await self._take(run, same_head, superseded):
            outcome = ClaimOutcome.DUPLICATE
        return RunClaim(
            run_key=run.run_key,
            outcome=outcome,
            attempt=run.attempt,
            superseded=() if outcome in REFUSED else superseded,
        )

    async def _competing_runs(self, run: RunState) -> dict[str, Row]:
        """Lock and return the run with this key and the unfinished run of its pull request."""

        def competes(row: Row) -> bool:
            same = (row["repo"], row["pr_number"]) == (run.repo, run.pr_number)
            return row["run_key"] == run.run_key or (same and _is_unfinished(row))

        rows = sorted(await self._transaction.tenant_rows.select(self._table, competes), key=by_id)
        locked = [
            await self._transaction.rows.lock(self._table, self._table.key_of(row), competes)
            for row in rows
        ]
        return {row["run_key"]: row for row in locked if row is not None}

    def _existing(self, row: Row | None) -> ExistingRun | None:
        if row is None:
            return None
        return ExistingRun(
            run_key=row["run_key"],
            status=RunStatus(row["status"]),
            delivery_id=row["delivery_id"],
            claimed_at=row["claimed_at"],
            occurred_at=row["occurred_at"],
            is_expired=self._has_expired(row),
        )

    def _has_expired(self, row: Row) -> bool:
        now, stale_at = self._transaction.now, row["claimed_at"] + STALE_RUN_AFTER
        is_stale = row["status"] is RunStatus.PENDING and stale_at < now
        return bool(is_stale or (row["lease_expires_at"] or stale_at) < now)

    def _remember(self, key: str) -> None:
        claim = (self._transaction.began, next(self._transaction.state.ticks))
        self._transaction.layers.put(_CLAIMS, (self._transaction.tenant, key), claim)

    def _is_concurrent(self, same_head: Row | None, other: Row | None) -> bool:
        # An unfinished run of the same head is claimed only after its lease expired.
        if same_head is not None and not _is_unfinished(same_head):
            return self._was_claimed_since(same_head) or self._was_claimed_since(other)
        return self._was_claimed_since(other)

    def _was_claimed_since(self, row: Row | None) -> bool:
        if row is None:
            return False
        claimer, claimed = self._transaction.layers.find(
            _CLAIMS, (row["tenant"], row["run_key"])
        ) or (0, 0)
        return claimer != self._transaction.began and claimed > self._transaction.began

    async def _take(self, run: RunState, same_head: Row | None, superseded: Sequence[str]) -> bool:
        """Supersede the other run and write this one; return whether the claim was written."""
        change = always(
            {
                "status": RunStatus.SUPERSEDED,
                "superseded_by": run.run_key,
                "lease_expires_at": None,
            }
        )
        await self._transaction.tenant_rows.update(
            self._table, lambda row: row["run_key"] in superseded and _is_unfinished(row), change
        )
        if same_head is None:
            # False if another unit of work inserted a run that this one could not see.
            return await self._transaction.rows.insert_if_free(
                self._table, (await self._new([run]))[0]
            )
        return await self._reopen(run, same_head)

    async def _reopen(self, run: RunState, row: Row) -> bool:
        values = {
            "status": RunStatus.PENDING,
            "attempt": run.attempt,
            "delivery_id": run.delivery_id,
            "action": run.action,
            "superseded_by": None,
            "occurred_at": run.occurred_at or row["occurred_at"],
            "claimed_at": run.claimed_at,
            "lease_expires_at": run.lease_expires_at,
        }
        try:
            await self._transaction.rows.update(
                self._table, self._table.key_of(row), always(values)
            )
        except AlreadyExists:
            # Another head was claimed that this unit of work could not see.
            return False
        return True


@implements(ports.CheckpointReader)
class FakeCheckpointReader(FakeReadRepository[ReviewCheckpoint]):
    """Reads the progress of reviews."""

    async def find_by_key(self, review_output_key: str) -> ReviewCheckpoint | None:
        return self._first(
            await self._rows(lambda row: row["review_output_key"] == review_output_key)
        )


@implements(ports.CheckpointRepository)
class FakeCheckpointRepository(FakeCheckpointReader, FakeRepository[ReviewCheckpoint]):
    """Saves the progress of reviews."""

    async def save(self, checkpoint: ReviewCheckpoint) -> None:
        await self.replace(checkpoint, "review_output_key", keep_if_missing=("partial_comment_id",))

    async def set_comment(self, review_output_key: str, comment_id: int) -> bool:
        change = always({"partial_comment_id": comment_id})
        async with self._transaction.statement():
            return (
                await self._transaction.tenant_rows.update(
                    self._table, _has_key(review_output_key), change
                )
                > 0
            )

    async def delete_by_key(self, review_output_key: str) -> bool:
        return await self._delete(_has_key(review_output_key)) > 0


async def newest_completed(transaction: Transaction, repo: str, pr_number: int) -> Row | None:
    """Return the run of the pull request whose review was completed last.

    If several have the same time, it is the one with the highest id. Call it inside a statement.
    """

    def is_reviewed(row: Row) -> bool:
        is_done = row["status"] is RunStatus.COMPLETED or row["completed_at"] is not None
        return is_done and (row["repo"], row["pr_number"]) == (repo, pr_number)

    table = transaction.state.tables[RunState.__tablename__]
    reviewed = await transaction.tenant_rows.select(table, is_reviewed)
    dated = [row for row in reviewed if row["completed_at"] is not None]
    # A completed run without a time comes last, as with NULLS LAST.
    return max(
        dated,
        key=lambda row: (row["completed_at"], row["id"]),
        default=max(reviewed, key=by_id, default=None),
    )


def _is_unfinished(row: Row) -> bool:
    return row["status"] in UNFINISHED


def _has_key(review_output_key: str) -> Condition:
    return lambda row: row["review_output_key"] == review_output_key
