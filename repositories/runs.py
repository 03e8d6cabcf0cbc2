"""Runs and their checkpoints, in PostgreSQL."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import update

from domain.entities.runs import ReviewCheckpoint, RunState, RunStatus
from domain.errors import NotFound
from domain.values.claims import ClaimOutcome, RunClaim, run_key
from domain.values.paging import require_at_most
from domain.values.timestamps import days_old, hours_old
from repositories.base import ReadRepository, Repository
from repositories.conflict_writes import insert_or_replace
from repositories.sql import retention, runs
from repositories.sql.rows import delete_rows, tenant_equals

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy import RowMapping

    from repositories.postgres.transaction import Transaction


CLOCK_READINGS = 10
"""How often the server is asked for the time before a claim gives way to one that may be a concurrent one."""


class RunReader(ReadRepository[RunState]):
    """Reads runs."""

    entity = RunState

    async def find_by_key(self, run_key: str) -> RunState | None:
        return await self._one(self._select().where(RunState.__table__.c.run_key == run_key))

    async def last_reviewed_head(self, repo: str, pr_number: int) -> str | None:
        statement = runs.last_reviewed_head(self._transaction.tenant, repo, pr_number)
        head: str | None = await self._transaction.scalar(statement)
        return head


class RunRepository(RunReader, Repository[RunState]):
    """Claims and completes runs."""

    def __init__(self, transaction: Transaction, entity: type[RunState] = RunState) -> None:
        super().__init__(transaction, entity)
        self._own: set[str] = set()

    def add(self, entity: RunState) -> RunState:
        self._own.add(entity.run_key)
        return super().add(entity)

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
        key = run_key(repo, pr_number, base_sha, head_sha)
        run = RunState(
            run_key=key,
            repo=repo,
            pr_number=pr_number,
            base_sha=base_sha,
            head_sha=head_sha,
            delivery_id=delivery_id,
            action=action,
        )
        self._transaction.assign_tenant(run)
        found = await self._transaction.execute(runs.runs_in_the_way(run))
        claim = await self._claim(run, found.mappings().all())
        if claim.claimed:
            self._own.add(key)
        return claim

    async def _claim(self, run: RunState, in_the_way: Sequence[RowMapping]) -> RunClaim:
        for row in in_the_way:
            if row["run_key"] == run.run_key:
                return await self._claim_existing(run, is_stale=row["stale"])
            if row["run_key"] not in self._own and await self._began_before(row["claimed_at"]):
                return RunClaim(run_key=run.run_key, outcome=ClaimOutcome.DUPLICATE)
        return await self._claim_new(run, tuple(row["run_key"] for row in in_the_way))

    async def _began_before(self, moment: datetime) -> bool:
        # The server's clock was read at an age between the two, so when we began is known within a
        # round trip. Asking again narrows it, and who cannot tell gives way: two that both begin
        # before a claim must not both be granted theirs.
        for _ in range(CLOCK_READINGS):
            sent = self._transaction.age
            clock = await self._scalar(runs.server_clock())
            if clock - sent <= moment:
                return True
            if clock - self._transaction.age > moment:
                return False
        return True

    async def _claim_existing(self, run: RunState, *, is_stale: bool) -> RunClaim:
        if not is_stale:
            return RunClaim(run_key=run.run_key, outcome=ClaimOutcome.DUPLICATE)
        await self._transaction.execute(runs.claim_again(run))
        return RunClaim(run_key=run.run_key, outcome=ClaimOutcome.STALE_PENDING)

    async def _claim_new(self, run: RunState, superseded: tuple[str, ...]) -> RunClaim:
        if superseded:
            await self._transaction.execute(runs.supersede(run, superseded))
        inserted = await self._transaction.execute(runs.insert_claimed(run))
        if inserted.first() is None:
            # Someone whose row was not to be seen yet: two who look at the same time both find
            # nothing in the way.
            return RunClaim(run_key=run.run_key, outcome=ClaimOutcome.DUPLICATE)
        outcome = ClaimOutcome.SUPERSEDED_PRIOR if superseded else ClaimOutcome.NEW
        return RunClaim(run_key=run.run_key, outcome=outcome, superseded=superseded)

    async def complete(self, run_key: str) -> RunStatus:
        result = await self._transaction.execute(runs.complete(self._transaction.tenant, run_key))
        status: RunStatus | None = result.scalar_one_or_none()
        if status is None:
            raise NotFound(self.entity.__name__, run_key)
        return status

    async def purge(
        self,
        *,
        completed_days: float = 30,
        superseded_days: float = 7,
        pending_hours: float = 1,
        at_most: int | None = None,
    ) -> int:
        statement = retention.delete_runs(
            self._transaction.tenant,
            completed=days_old(completed_days, "completed_days"),
            superseded=days_old(superseded_days, "superseded_days"),
            pending=hours_old(pending_hours, "pending_hours"),
            at_most=require_at_most(at_most),
        )
        return await self._transaction.changed(statement)


class CheckpointReader(ReadRepository[ReviewCheckpoint]):
    """Reads how far reviews have come."""

    entity = ReviewCheckpoint

    async def find_by_key(self, review_output_key: str) -> ReviewCheckpoint | None:
        return await self._one(
            self._select().where(
                ReviewCheckpoint.__table__.c.review_output_key == review_output_key
            )
        )


class CheckpointRepository(CheckpointReader, Repository[ReviewCheckpoint]):
    """Saves how far reviews have come."""

    async def save(self, checkpoint: ReviewCheckpoint) -> None:
        await insert_or_replace(
            self._transaction,
            checkpoint,
            "review_output_key",
            keep_if_missing=("partial_comment_id",),
        )

    async def set_comment(self, review_output_key: str, comment_id: int) -> bool:
        table = ReviewCheckpoint.__table__
        named = (
            tenant_equals(ReviewCheckpoint, self._transaction.tenant),
            table.c.review_output_key == review_output_key,
        )
        return (
            await self._transaction.changed(
                update(table).where(*named).values(partial_comment_id=comment_id)
            )
            > 0
        )

    async def delete_by_key(self, review_output_key: str) -> bool:
        named = ReviewCheckpoint.__table__.c.review_output_key == review_output_key
        return (
            await self._transaction.changed(
                delete_rows(ReviewCheckpoint, self._transaction.tenant, named)
            )
            > 0
        )
