"""Runs and checkpoints on PostgreSQL: who may review which head, also when many ask at once."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
from pydantic import ValidationError
from sqlalchemy import text

from domain import (
    AlreadyExists,
    CheckpointData,
    ClaimOutcome,
    InvalidInput,
    NotFound,
    ReviewCheckpoint,
    RunClaim,
    RunState,
    RunStatus,
    run_key,
)
from repositories import Database, UnitOfWork

REPO = "acme/api"
CALLERS = 16


async def claim(uow: UnitOfWork, head: str, *, repo: str = REPO, pr_number: int = 7, **values: Any) -> RunClaim:
    names = {"base_sha": "base", "delivery_id": "delivery", "action": "opened", **values}
    return await uow.runs.claim(repo, pr_number, head_sha=head, **names)


def run_state(**values: Any) -> RunState:
    given = {"run_key": "by hand", "repo": REPO, "base_sha": "base", "head_sha": "by hand", "delivery_id": "d", "action": "opened"}
    return RunState(**{**given, **values})


async def claimed(database: Database, head: str, *, tenant: str = "default", **values: Any) -> RunClaim:
    async with database.unit_of_work(tenant=tenant) as uow:
        answer = await claim(uow, head, **values)
        await uow.commit()
        return answer


async def completed(database: Database, head: str) -> str:
    answer = await claimed(database, head)
    async with database.unit_of_work() as uow:
        assert await uow.runs.complete(answer.run_key) is RunStatus.COMPLETED
        await uow.commit()
    return answer.run_key


async def found(database: Database, key: str) -> RunState:
    async with database.reader() as view:
        run = await view.runs.find_by_key(key)
    assert run is not None
    return run


async def age(database: Database, key: str, **hours: float) -> None:
    """Let the named moments of the run be so many hours ago."""
    moments = ", ".join(f"{column} = now() - make_interval(secs => {3_600 * ago})" for column, ago in hours.items())
    async with database.engine.begin() as connection:
        await connection.execute(text(f"UPDATE run_state SET {moments} WHERE run_key = :key"), {"key": key})


class TestClaim:
    async def test_a_new_head_is_claimed_and_pending(self, database: Database) -> None:
        answer = await claimed(database, "one", action="opened")
        assert answer == RunClaim(run_key=run_key(REPO, 7, "base", "one"), outcome=ClaimOutcome.NEW)
        run = await found(database, answer.run_key)
        assert (run.status, run.head_sha, run.base_sha, run.action) == (RunStatus.PENDING, "one", "base", "opened")
        assert run.claimed_at is not None

    async def test_the_same_head_again_is_a_duplicate_whatever_became_of_the_run(self, database: Database) -> None:
        for head in ("pending", "completed", "superseded"):
            await claimed(database, head)
        async with database.unit_of_work() as uow:
            run = await uow.runs.find_by_key(run_key(REPO, 7, "base", "completed"))
            assert run is not None
            assert run.status is RunStatus.SUPERSEDED
        await completed(database, "completed too")
        for head in ("pending", "completed", "superseded", "completed too"):
            answer = await claimed(database, head)
            assert (answer.outcome, answer.claimed, answer.superseded) == (ClaimOutcome.DUPLICATE, False, ())

    async def test_another_head_takes_the_place_of_the_unfinished_run(self, database: Database) -> None:
        first, second = await claimed(database, "one"), await claimed(database, "two")
        assert (second.outcome, second.superseded) == (ClaimOutcome.SUPERSEDED_PRIOR, (first.run_key,))
        run = await found(database, first.run_key)
        assert (run.status, run.superseded_by) == (RunStatus.SUPERSEDED, second.run_key)

    async def test_a_run_under_way_is_superseded_and_a_completed_one_is_not(self, database: Database) -> None:
        done = await completed(database, "one")
        under_way = await claimed(database, "two")
        async with database.unit_of_work() as uow:
            run = await uow.runs.find_by_key(under_way.run_key)
            assert run is not None
            run.status = RunStatus.RUNNING
            await uow.commit()
        third = await claimed(database, "three")
        assert third.superseded == (under_way.run_key,)
        assert (await found(database, done)).status is RunStatus.COMPLETED

    async def test_heads_of_other_pull_requests_repositories_and_tenants_are_left_alone(self, database: Database) -> None:
        answers = [
            await claimed(database, "one"),
            await claimed(database, "two", pr_number=8),
            await claimed(database, "two", repo="acme/web"),
            await claimed(database, "two", tenant="other"),
            await claimed(database, "one", tenant="other", pr_number=8),
        ]
        assert {answer.outcome for answer in answers} == {ClaimOutcome.NEW}

    async def test_a_run_pending_for_over_an_hour_is_claimed_again_and_its_clock_starts_anew(self, database: Database) -> None:
        answer = await claimed(database, "one", delivery_id="first")
        await age(database, answer.run_key, claimed_at=0.99)
        assert (await claimed(database, "one")).outcome is ClaimOutcome.DUPLICATE
        await age(database, answer.run_key, claimed_at=1.01)
        again = await claimed(database, "one", delivery_id="second", action="reopened")
        assert (again.outcome, again.claimed) == (ClaimOutcome.STALE_PENDING, True)
        assert (await claimed(database, "one")).outcome is ClaimOutcome.DUPLICATE
        run = await found(database, answer.run_key)
        assert (run.delivery_id, run.action) == ("second", "reopened")

    async def test_a_run_under_way_is_never_stale(self, database: Database) -> None:
        answer = await claimed(database, "one")
        async with database.unit_of_work() as uow:
            run = await uow.runs.find_by_key(answer.run_key)
            assert run is not None
            run.status = RunStatus.RUNNING
            await uow.commit()
        await age(database, answer.run_key, claimed_at=100)
        assert (await claimed(database, "one")).outcome is ClaimOutcome.DUPLICATE

    async def test_one_unit_of_work_may_claim_one_head_after_the_other(self, uow: UnitOfWork) -> None:
        first, second = await claim(uow, "one"), await claim(uow, "two")
        added = uow.runs.add(run_state(pr_number=8))
        third = await claim(uow, "two", pr_number=8)
        assert (second.superseded, third.superseded) == ((first.run_key,), (added.run_key,))

    async def test_a_claim_that_is_not_committed_is_none(self, database: Database) -> None:
        async with database.unit_of_work() as uow:
            assert (await claim(uow, "one")).claimed
        assert (await claimed(database, "one")).outcome is ClaimOutcome.NEW

    async def test_what_a_run_cannot_be_is_refused_before_the_server_sees_it(self, uow: UnitOfWork) -> None:
        with pytest.raises(ValidationError):
            await claim(uow, "one", repo="")
        with pytest.raises(ValidationError):
            await claim(uow, "one", pr_number=0)
        assert (await claim(uow, "one")).claimed

    async def test_a_pull_request_has_one_unfinished_run_at_most_whoever_writes_it(self, uow: UnitOfWork) -> None:
        await claim(uow, "one")
        uow.runs.add(run_state(pr_number=7))
        with pytest.raises(AlreadyExists):
            await uow.flush()


one_key_or_many = pytest.mark.parametrize(
    "heads", [["stale"] * CALLERS, [f"head-{n}" for n in range(CALLERS)]], ids=["one key", "different heads"]
)


def with_pool(database: Database, size: int) -> Database:
    """Return the same database with so many connections."""
    return Database(database.settings.model_copy(update={"pool_size": size, "max_overflow": 0}))


async def winners(database: Database, heads: Sequence[str], pr_number: int) -> tuple[ClaimOutcome, ...]:
    """Claim all heads at once and return the outcomes of those that were granted.

    Nothing holds the callers back: some of them get to ask only after others have committed.
    """
    answers = await asyncio.gather(*(claimed(database, head, pr_number=pr_number) for head in heads))
    return tuple(answer.outcome for answer in answers if answer.claimed)


class TestConcurrentClaims:
    @one_key_or_many
    @pytest.mark.parametrize(("connections", "rounds"), [(CALLERS, 80), (3, 20)])
    async def test_exactly_one_of_sixteen_wins_every_time_also_if_most_wait_for_a_connection(
        self, database: Database, heads: Sequence[str], connections: int, rounds: int
    ) -> None:
        outcomes: Counter[tuple[ClaimOutcome, ...]] = Counter()
        async with with_pool(database, connections) as pooled:
            for pr_number in range(1, rounds + 1):
                outcomes[await winners(pooled, heads, pr_number)] += 1
        assert outcomes == {(ClaimOutcome.NEW,): rounds}

    @one_key_or_many
    async def test_exactly_one_of_sixteen_gets_what_another_left_behind(self, database: Database, heads: Sequence[str]) -> None:
        wanted = ClaimOutcome.STALE_PENDING if len(set(heads)) == 1 else ClaimOutcome.SUPERSEDED_PRIOR
        async with with_pool(database, CALLERS) as pooled:
            for pr_number in range(1, 21):
                left = await claimed(pooled, "stale", pr_number=pr_number)
                await age(pooled, left.run_key, claimed_at=2)
                assert await winners(pooled, heads, pr_number) == (wanted,)

    async def test_whoever_waited_for_a_claim_that_was_committed_has_lost(self, database: Database) -> None:
        async with database.unit_of_work() as first:
            await claim(first, "one")
            waiting = asyncio.create_task(claimed(database, "two"))
            await _until_blocked(database)
            await first.commit()
        assert (await waiting).outcome is ClaimOutcome.DUPLICATE

    async def test_whoever_waited_for_a_claim_that_was_discarded_has_won(self, database: Database) -> None:
        async with database.unit_of_work() as first:
            await claim(first, "one")
            waiting = asyncio.create_task(claimed(database, "two"))
            await _until_blocked(database)
        assert (await waiting).outcome is ClaimOutcome.NEW

    async def test_whoever_lost_to_another_head_may_claim_again(self, database: Database) -> None:
        async with database.unit_of_work() as late:
            early = await claimed(database, "one")
            assert (await claim(late, "two")).outcome is ClaimOutcome.DUPLICATE
            await late.commit()
        again = await claimed(database, "two")
        assert again.superseded == (early.run_key,)

    async def test_a_run_that_is_completed_meanwhile_is_not_in_the_way(self, database: Database) -> None:
        under_way = await claimed(database, "one")
        async with database.unit_of_work() as other:
            assert await other.runs.complete(under_way.run_key) is RunStatus.COMPLETED
            waiting = asyncio.create_task(claimed(database, "two"))
            await _until_blocked(database)
            await other.commit()
        assert (await waiting) == RunClaim(run_key=run_key(REPO, 7, "base", "two"), outcome=ClaimOutcome.NEW)
        assert (await found(database, under_way.run_key)).status is RunStatus.COMPLETED

    async def test_completing_a_run_that_is_superseded_meanwhile_tells_so(self, database: Database) -> None:
        under_way = await claimed(database, "one")
        async with database.unit_of_work() as other:
            await claim(other, "two")
            completing = asyncio.create_task(_complete(database, under_way.run_key))
            await _until_blocked(database)
            await other.commit()
        assert await completing is RunStatus.SUPERSEDED


async def _complete(database: Database, key: str) -> RunStatus:
    async with database.unit_of_work() as uow:
        status = await uow.runs.complete(key)
        await uow.commit()
        return status


async def _until_blocked(database: Database) -> None:
    """Wait until a transaction of this database waits for another one."""
    waits = text("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'")
    async with asyncio.timeout(5):
        while True:
            async with database.engine.connect() as connection:
                if (await connection.execute(waits)).scalar_one():
                    return
            await asyncio.sleep(0.01)


class TestComplete:
    async def test_a_superseded_run_stays_superseded_and_the_caller_is_told(self, database: Database) -> None:
        first = await claimed(database, "one")
        await claimed(database, "two")
        async with database.unit_of_work() as uow:
            assert await uow.runs.complete(first.run_key) is RunStatus.SUPERSEDED
            await uow.commit()
        run = await found(database, first.run_key)
        assert (run.status, run.completed_at) == (RunStatus.SUPERSEDED, None)

    async def test_completing_again_changes_nothing(self, database: Database) -> None:
        key = await completed(database, "one")
        before = await found(database, key)
        assert before.completed_at is not None
        assert await _complete(database, key) is RunStatus.COMPLETED
        assert await found(database, key) == before

    async def test_a_run_that_was_read_before_is_brought_up_to_date_when_it_is_read_again(self, uow: UnitOfWork) -> None:
        answer = await claim(uow, "one")
        before = await uow.runs.find_by_key(answer.run_key)
        await uow.runs.complete(answer.run_key)
        after = await uow.runs.find_by_key(answer.run_key)
        assert after is before
        assert after is not None
        assert after.status is RunStatus.COMPLETED

    async def test_an_unknown_run_and_one_of_another_tenant_are_not_found(self, database: Database) -> None:
        theirs = await claimed(database, "one", tenant="other")
        for key in (theirs.run_key, "unknown"):
            async with database.unit_of_work() as uow:
                with pytest.raises(NotFound) as missing:
                    await uow.runs.complete(key)
            assert (missing.value.entity, missing.value.key) == ("RunState", key)


class TestLastReviewedHead:
    async def test_it_is_the_newest_completed_one_whatever_was_claimed_since(self, database: Database) -> None:
        async with database.reader() as view:
            assert await view.runs.last_reviewed_head(REPO, 7) is None
        first, second = await completed(database, "one"), await completed(database, "two")
        await claimed(database, "three")
        async with database.reader() as view:
            assert await view.runs.last_reviewed_head(REPO, 7) == "two"
            assert await view.runs.last_reviewed_head(REPO, 8) is None
        await age(database, second, completed_at=2)
        await age(database, first, completed_at=1)
        async with database.reader() as view:
            assert await view.runs.last_reviewed_head(REPO, 7) == "one"

    async def test_of_two_completed_at_once_it_is_the_one_with_the_higher_id(self, uow: UnitOfWork) -> None:
        for head in ("one", "two"):
            answer = await claim(uow, head)
            await uow.runs.complete(answer.run_key)
        assert await uow.runs.last_reviewed_head(REPO, 7) == "two"


class TestPurge:
    async def test_each_kind_goes_by_its_own_age_and_a_run_under_way_stays(self, database: Database) -> None:
        async def run(pr_number: int, status: RunStatus, **hours: float) -> str:
            key = (await claimed(database, "one", pr_number=pr_number)).run_key
            async with database.unit_of_work() as uow:
                made = await uow.runs.find_by_key(key)
                assert made is not None
                made.status = status
                await uow.commit()
            await age(database, key, **hours)
            return key

        day, edge = 24, 0.01
        gone = [
            await run(1, RunStatus.COMPLETED, claimed_at=31 * day, completed_at=30 * day + edge),
            await run(2, RunStatus.SUPERSEDED, claimed_at=7 * day + edge),
            await run(3, RunStatus.PENDING, claimed_at=1 + edge),
        ]
        kept = [
            await run(4, RunStatus.COMPLETED, claimed_at=31 * day, completed_at=30 * day - edge),
            await run(5, RunStatus.SUPERSEDED, claimed_at=7 * day - edge),
            await run(6, RunStatus.PENDING, claimed_at=1 - edge),
            await run(7, RunStatus.RUNNING, claimed_at=1_000 * day),
        ]
        await claimed(database, "one", tenant="other")
        async with database.unit_of_work() as uow:
            assert await uow.runs.purge() == len(gone)
            assert {one.run_key for one in await uow.runs.list()} == set(kept)
            assert await uow.runs.purge(completed_days=0, superseded_days=0, pending_hours=0) == 3
            await uow.commit()
        async with database.reader(tenant="other") as view:
            assert await view.runs.count() == 1

    @pytest.mark.parametrize("given", [{"completed_days": -1}, {"superseded_days": float("nan")}, {"pending_hours": 1e9}])
    async def test_an_age_that_is_none_is_refused(self, uow: UnitOfWork, given: dict[str, float]) -> None:
        with pytest.raises(InvalidInput) as refused:
            await uow.runs.purge(**given)
        assert refused.value.field in given
        assert await uow.runs.count() == 0


def checkpoint(**values: Any) -> ReviewCheckpoint:
    data = CheckpointData(files_reviewed=("a.py",), finding_count=1, summary_draft="…", total_files=3)
    given = {"review_output_key": "out", "repo": REPO, "pr_number": 7, "checkpoint_data": data}
    return ReviewCheckpoint(**{**given, **values})


class TestCheckpoints:
    async def test_saving_again_replaces_all_but_a_comment_that_is_missing(self, database: Database) -> None:
        first = checkpoint(partial_comment_id=2**62)
        later = checkpoint(checkpoint_data=CheckpointData(files_reviewed=("a.py", "b.py"), total_files=3), pr_number=8)
        for one in (first, later):
            async with database.unit_of_work() as uow:
                await uow.checkpoints.save(one)
                await uow.commit()
        async with database.reader() as view:
            kept = await view.checkpoints.find_by_key("out")
            assert await view.checkpoints.count() == 1
        assert kept is not None
        assert (kept.id, kept.pr_number, kept.partial_comment_id) == (first.id, 8, 2**62)
        assert kept.checkpoint_data == later.checkpoint_data
        async with database.unit_of_work() as uow:
            await uow.checkpoints.save(checkpoint(partial_comment_id=5))
            found_again = await uow.checkpoints.find_by_key("out")
            assert found_again is not None
            assert (found_again.partial_comment_id, found_again.created_at) == (5, kept.created_at)

    async def test_saving_what_was_read_before_shows_when_it_is_read_again(self, uow: UnitOfWork) -> None:
        await uow.checkpoints.save(checkpoint())
        before = await uow.checkpoints.find_by_key("out")
        await uow.checkpoints.save(checkpoint(checkpoint_data=CheckpointData(total_files=9)))
        after = await uow.checkpoints.find_by_key("out")
        assert after is not None
        assert after is before
        assert after.checkpoint_data.total_files == 9

    async def test_a_comment_is_recorded_where_there_is_a_checkpoint(self, uow: UnitOfWork) -> None:
        await uow.checkpoints.save(checkpoint())
        assert await uow.checkpoints.set_comment("out", 2**40)
        assert not await uow.checkpoints.set_comment("other", 1)
        kept = await uow.checkpoints.find_by_key("out")
        assert kept is not None
        assert kept.partial_comment_id == 2**40

    async def test_it_is_deleted_by_its_key_once(self, uow: UnitOfWork) -> None:
        await uow.checkpoints.save(checkpoint())
        assert await uow.checkpoints.delete_by_key("out")
        assert not await uow.checkpoints.delete_by_key("out")
        assert await uow.checkpoints.find_by_key("out") is None

    async def test_tenants_have_their_own(self, database: Database) -> None:
        async with database.unit_of_work() as uow:
            await uow.checkpoints.save(checkpoint())
            await uow.commit()
        async with database.unit_of_work(tenant="other") as uow:
            assert await uow.checkpoints.find_by_key("out") is None
            assert not await uow.checkpoints.set_comment("out", 1)
            assert not await uow.checkpoints.delete_by_key("out")
            await uow.checkpoints.save(checkpoint(pr_number=9))
            await uow.commit()
        async with database.reader() as view:
            kept = await view.checkpoints.find_by_key("out")
            assert kept is not None
            assert kept.pr_number == 7
