"""Runs and their checkpoints, in PostgreSQL."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

from sqlalchemy import update

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
from repositories.base import ReadRepository, Repository
from repositories.conflict_writes import insert_or_replace
from repositories.sql import runs
from repositories.sql.rows import delete_rows, tenant_equals

if TYPE_CHECKING:
    from sqlalchemy import Executable

    from repositories.postgres.transaction import Transaction


CLOCK_READINGS = 10
"""Readings of the server's clock before a claim yields to one that may be concurrent."""


@implements(ports.RunReader)
class RunReader(ReadRepository[RunState]):
    """Reads runs."""

    entity = RunState

    async def find_by_key(self, run_key: str) -> RunState | None:
        return await self._one(self._select().where(RunState.__table__.c.run_key == run_key))

    async def last_reviewed_head(self, repo: str, pr_number: int) -> str | None:
        statement = runs.last_reviewed_head(self._transaction.tenant, repo, pr_number)
        head: str | None = await self._transaction.scalar(statement)
        return head


@implements(ports.RunRepository)
class RunRepository(RunReader, Repository[RunState]):
    """Claims and completes runs."""

    def __init__(self, transaction: Transaction, entity: type[RunState] = RunState) -> None:
        super().__init__(transaction, entity)
        self._own: set[str] = set()

    def add(self, entity: RunState) -> RunState:
        added = super().add(entity)
        self._own.add(added.run_key)
        return added

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
        self._transaction.assign_tenant(run)
        claim = await self._claim(run, again=again, lease=lease)
        if claim.claimed:
            self._own.add(run.run_key)
        return claim

    async def heartbeat(
        self, run_key: str, attempt: UUID, *, lease: timedelta = STALE_RUN_AFTER
    ) -> RunStatus:
        require_lease(lease, most=MAX_AGE)
        token = require_id(attempt, "attempt")
        statement = runs.heartbeat(self._transaction.tenant, run_key, token, lease)
        return await self._changed(statement, run_key, token)

    async def complete(self, run_key: str, attempt: UUID) -> RunStatus:
        token = require_id(attempt, "attempt")
        statement = runs.complete(self._transaction.tenant, run_key, token)
        return await self._changed(statement, run_key, token)

    async def purge(
        self,
        *,
        completed_days: float = 30,
        superseded_days: float = 7,
        pending_hours: float = 1,
        at_most: int | None = None,
    ) -> int:
        statement = runs.delete_old(
            self._transaction.tenant,
            completed=days_old(completed_days, "completed_days"),
            superseded=days_old(superseded_days, "superseded_days"),
            unfinished=hours_old(pending_hours, "pending_hours"),
            at_most=require_at_most(at_most),
        )
        return await self._transaction.changed(statement)

    async def _changed(self, statement: Executable, run_key: str, attempt: UUID) -> RunStatus:
        row = (await self._transaction.execute(statement)).one_or_none()
        if row is None:
            raise NotFound(self.entity.__name__, run_key)
        require_attempt(run_key, current=row.attempt, attempt=attempt)
        status: RunStatus = row.status
        return status

    async def _claim(self, run: RunState, *, again: bool, lease: timedelta) -> RunClaim:
        rows = (await self._transaction.execute(runs.competing_runs(run))).mappings()
        existing = {row["run_key"]: ExistingRun(**row) for row in rows}
        same_head = existing.pop(run.run_key, None)
        other = next(iter(existing.values()), None)
        request = ClaimRequest(
            delivery_id=run.delivery_id, occurred_at=run.occurred_at, again=again
        )
        outcome = request.decide(same_head=same_head, other=other)
        if outcome not in REFUSED and await self._is_concurrent(same_head, other):
            outcome = ClaimOutcome.DUPLICATE
        superseded = tuple(existing)
        if outcome in REFUSED or not await self._take(run, same_head, superseded, lease):
            return _refused(run, outcome)
        return RunClaim(
            run_key=run.run_key, outcome=outcome, attempt=run.attempt, superseded=superseded
        )

    async def _is_concurrent(
        self, same_head: ExistingRun | None, other: ExistingRun | None
    ) -> bool:
        # An unfinished run of the same head is claimed only after its lease expired.
        competitors = [other]
        if same_head is not None and same_head.status not in UNFINISHED:
            competitors.append(same_head)
        for existing in competitors:
            if existing is None or existing.run_key in self._own:
                continue
            if await self._began_before(existing.claimed_at):
                return True
        return False

    async def _began_before(self, moment: datetime) -> bool:
        # The server's clock was read at an age between the two, so when we began is known within a
        # round trip. Another reading narrows the interval. If it stays undecided, the claim is
        # refused: of two units of work that both began before a claim, one at most may win.
        for _ in range(CLOCK_READINGS):
            sent = self._transaction.age
            clock = await self._scalar(runs.server_clock())
            if clock - sent <= moment:
                return True
            if clock - self._transaction.age > moment:
                return False
        return True

    async def _take(
        self,
        run: RunState,
        same_head: ExistingRun | None,
        superseded: tuple[str, ...],
        lease: timedelta,
    ) -> bool:
        """Supersede the other run and write this one; return whether the claim was written."""
        if superseded:
            await self._transaction.execute(runs.supersede(run, superseded))
        if same_head is None:
            result = await self._transaction.execute(runs.insert_claimed(run, lease))
            # No row if another unit of work inserted one that this one could not see.
            return result.first() is not None
        if superseded or same_head.status in UNFINISHED:
            await self._transaction.execute(runs.claim_again(run, lease))
            return True
        return await self._reopen(run, lease)

    async def _reopen(self, run: RunState, lease: timedelta) -> bool:
        # No row is locked that a concurrent claim of another head has to wait for.
        try:
            async with self._transaction.savepoint():
                await self._transaction.execute(runs.claim_again(run, lease))
        except AlreadyExists:
            return False
        return True


def _refused(run: RunState, outcome: ClaimOutcome) -> RunClaim:
    reason = outcome if outcome in REFUSED else ClaimOutcome.DUPLICATE
    return RunClaim(run_key=run.run_key, outcome=reason, attempt=run.attempt)


@implements(ports.CheckpointReader)
class CheckpointReader(ReadRepository[ReviewCheckpoint]):
    """Reads the progress of reviews."""

    entity = ReviewCheckpoint

    async def find_by_key(self, review_output_key: str) -> ReviewCheckpoint | None:
        return await self._one(
            self._select().where(
                ReviewCheckpoint.__table__.c.review_output_key == review_output_key
            )
        )


@implements(ports.CheckpointRepository)
class CheckpointRepository(CheckpointReader, Repository[ReviewCheckpoint]):
    """Saves the progress of reviews."""

    async def save(self, checkpoint: ReviewCheckpoint) -> None:
        await insert_or_replace(
            self._transaction,
            ReviewCheckpoint,
            checkpoint,
            "review_output_key",
            keep_if_missing=("partial_comment_id",),
        )

    async def set_comment(self, review_output_key: str, comment_id: int) -> bool:
        table = ReviewCheckpoint.__table__
        statement = (
            update(table)
            .where(
                tenant_equals(ReviewCheckpoint, self._transaction.tenant),
                table.c.review_output_key == review_output_key,
            )
            .values(partial_comment_id=comment_id)
        )
        return await self._transaction.changed(statement) > 0

    async def delete_by_key(self, review_output_key: str) -> bool:
        condition = ReviewCheckpoint.__table__.c.review_output_key == review_output_key
        statement = delete_rows(ReviewCheckpoint, self._transaction.tenant, condition)
        return await self._transaction.changed(statement) > 0
