"""Runs and their checkpoints, in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from domain.entities.runs import STALE_RUN_AFTER, UNFINISHED, ReviewCheckpoint, RunState, RunStatus
from domain.errors import NotFound
from domain.values.claims import ClaimOutcome, RunClaim, run_key
from domain.values.paging import require_at_most
from domain.values.timestamps import days_old, hours_old
from repositories.fakes.repository import FakeReadRepository, FakeRepository, by_id
from repositories.fakes.writes import always

if TYPE_CHECKING:
    from collections.abc import Sequence

    from repositories.fakes.checks import Row
    from repositories.fakes.transaction import Transaction
    from repositories.fakes.writes import Condition

_CLAIMS: Final = "claims of runs"
"""By whom and when each run was claimed, as numbers of the database's `ticks`.

Kept and undone with the claim itself.
"""


class FakeRunReader(FakeReadRepository[RunState]):
    """Reads runs."""

    async def find_by_key(self, run_key: str) -> RunState | None:
        return self._first(await self._rows(lambda row: row["run_key"] == run_key))

    async def last_reviewed_head(self, repo: str, pr_number: int) -> str | None:
        async with self._transaction.statement():
            run = newest_completed(self._transaction, repo, pr_number)
        return None if run is None else cast("str", run["head_sha"])


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
    ) -> RunClaim:
        run = RunState(
            run_key=run_key(repo, pr_number, base_sha, head_sha),
            repo=repo,
            pr_number=pr_number,
            base_sha=base_sha,
            head_sha=head_sha,
            delivery_id=delivery_id,
            action=action,
        )
        async with self._transaction.statement():
            run.claimed_at = self._transaction.state.clock()
            claim = await self._claim(
                self._transaction.assign_tenant(run), await self._in_the_way(run)
            )
            if claim.claimed:
                self._remember(claim.run_key)
        return claim

    async def complete(self, run_key: str) -> RunStatus:
        def completed(row: Row) -> Row:
            return (
                {"status": RunStatus.COMPLETED, "completed_at": self._transaction.now}
                if _is_unfinished(row)
                else {}
            )

        async with self._transaction.statement():
            await self._transaction.update(
                self._table, lambda row: row["run_key"] == run_key, completed
            )
            found = self._transaction.select(self._table, lambda row: row["run_key"] == run_key)
        if not found:
            raise NotFound(self._entity.__name__, run_key)
        return RunStatus(found[0]["status"])

    async def purge(
        self,
        *,
        completed_days: float = 30,
        superseded_days: float = 7,
        pending_hours: float = 1,
        at_most: int | None = None,
    ) -> int:
        ages = {
            RunStatus.COMPLETED: ("completed_at", days_old(completed_days, "completed_days")),
            RunStatus.SUPERSEDED: ("claimed_at", days_old(superseded_days, "superseded_days")),
            RunStatus.PENDING: ("claimed_at", hours_old(pending_hours, "pending_hours")),
        }

        def is_too_old(row: Row) -> bool:
            if row["status"] not in ages:
                return False
            clock, age = ages[row["status"]]
            return row[clock] is not None and row[clock] < self._transaction.now - age

        return await self._delete(is_too_old, at_most=require_at_most(at_most))

    async def _in_the_way(self, run: RunState) -> Sequence[Row]:
        """Hold and return the run with this key and the unfinished run of its pull request."""

        def meets(row: Row) -> bool:
            same = (row["repo"], row["pr_number"]) == (run.repo, run.pr_number)
            return row["run_key"] == run.run_key or (same and _is_unfinished(row))

        found = sorted(self._transaction.select(self._table, meets), key=by_id)
        held = [
            await self._transaction.rows.lock(self._table, self._table.key_of(row), meets)
            for row in found
        ]
        return [row for row in held if row is not None]

    async def _claim(self, run: RunState, in_the_way: Sequence[Row]) -> RunClaim:
        for row in in_the_way:
            if row["run_key"] == run.run_key:
                return await self._claim_existing(run, row)
            if self._is_concurrent(row):
                return RunClaim(run_key=run.run_key, outcome=ClaimOutcome.DUPLICATE)
        return await self._claim_new(run, in_the_way)

    def _remember(self, key: str) -> None:
        claim = (self._transaction.began, next(self._transaction.state.ticks))
        self._transaction.layers.put(_CLAIMS, (self._transaction.tenant, key), claim)

    def _is_concurrent(self, row: Row) -> bool:
        claimer, claimed = self._transaction.layers.find(
            _CLAIMS, (row["tenant"], row["run_key"])
        ) or (0, 0)
        return claimer != self._transaction.began and claimed > self._transaction.began

    async def _claim_existing(self, run: RunState, row: Row) -> RunClaim:
        is_stale = (
            row["status"] is RunStatus.PENDING
            and row["claimed_at"] < self._transaction.now - STALE_RUN_AFTER
        )
        if not is_stale:
            return RunClaim(run_key=run.run_key, outcome=ClaimOutcome.DUPLICATE)
        given = {"delivery_id": run.delivery_id, "action": run.action, "claimed_at": run.claimed_at}
        await self._transaction.rows.update(self._table, self._table.key_of(row), always(given))
        return RunClaim(run_key=run.run_key, outcome=ClaimOutcome.STALE_PENDING)

    async def _claim_new(self, run: RunState, in_the_way: Sequence[Row]) -> RunClaim:
        superseded = tuple(row["run_key"] for row in in_the_way)
        change = always({"status": RunStatus.SUPERSEDED, "superseded_by": run.run_key})
        await self._transaction.update(
            self._table, lambda row: row["run_key"] in superseded and _is_unfinished(row), change
        )
        if not await self._transaction.rows.insert_if_free(self._table, self._new([run])[0]):
            # Someone whose row was not to be seen yet: two who look at the same time both find
            # nothing in the way.
            return RunClaim(run_key=run.run_key, outcome=ClaimOutcome.DUPLICATE)
        outcome = ClaimOutcome.SUPERSEDED_PRIOR if superseded else ClaimOutcome.NEW
        return RunClaim(run_key=run.run_key, outcome=outcome, superseded=superseded)


class FakeCheckpointReader(FakeReadRepository[ReviewCheckpoint]):
    """Reads how far reviews have come."""

    async def find_by_key(self, review_output_key: str) -> ReviewCheckpoint | None:
        return self._first(
            await self._rows(lambda row: row["review_output_key"] == review_output_key)
        )


class FakeCheckpointRepository(FakeCheckpointReader, FakeRepository[ReviewCheckpoint]):
    """Saves how far reviews have come."""

    async def save(self, checkpoint: ReviewCheckpoint) -> None:
        await self.replace(checkpoint, "review_output_key", keep_if_missing=("partial_comment_id",))

    async def set_comment(self, review_output_key: str, comment_id: int) -> bool:
        change = always({"partial_comment_id": comment_id})
        async with self._transaction.statement():
            return (
                await self._transaction.update(self._table, _is_of(review_output_key), change) > 0
            )

    async def delete_by_key(self, review_output_key: str) -> bool:
        return await self._delete(_is_of(review_output_key)) > 0


def newest_completed(transaction: Transaction, repo: str, pr_number: int) -> Row | None:
    """Return the pull request's run that was completed last, of equals the one with the highest id.

    Only inside a statement.
    """
    table = transaction.state.tables[RunState.__tablename__]
    done = (repo, pr_number, RunStatus.COMPLETED)
    completed = transaction.select(
        table, lambda row: (row["repo"], row["pr_number"], row["status"]) == done
    )
    dated = [row for row in completed if row["completed_at"] is not None]
    # A completed run without its moment comes after those that have one, as NULLS LAST has it.
    return max(
        dated,
        key=lambda row: (row["completed_at"], row["id"]),
        default=max(completed, key=by_id, default=None),
    )


def _is_unfinished(row: Row) -> bool:
    return row["status"] in UNFINISHED


def _is_of(review_output_key: str) -> Condition:
    return lambda row: row["review_output_key"] == review_output_key
