"""Claims of runs, one after the other: who may review which head."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from domain import (
    ALLOWED_CHANGES,
    AlreadyExists,
    ClaimOutcome,
    InvalidInput,
    RunClaim,
    RunState,
    RunStatus,
    run_key,
)
from domain.values.text import DEFAULT_TENANT
from tests.contract.suites.kinds import facts, write
from tests.contract.suites.samples import MORE_DIGITS_THAN_PYTHON_WRITES, REPO, UNICODE, run

if TYPE_CHECKING:
    from domain import UnitOfWork
    from tests.contract.suites.store import Store

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
EDGE = timedelta(minutes=5)
"""More than a test takes."""


def ago(age: timedelta) -> datetime:
    """Return the moment that is so long ago."""
    return datetime.now(UTC) - age


async def claim(
    uow: UnitOfWork, head: str, *, repo: str = REPO, pr_number: int = 7, **values: Any
) -> RunClaim:
    """Claim the run of a head."""
    names = {"base_sha": "base", "delivery_id": "delivery", "action": "opened", **values}
    return await uow.runs.claim(repo, pr_number, head_sha=head, **names)


async def claimed(
    store: Store, head: str, *, tenant: str = DEFAULT_TENANT, **values: Any
) -> RunClaim:
    """Claim the run of a head, and commit."""
    async with store.unit_of_work(tenant=tenant) as uow:
        answer = await claim(uow, head, **values)
        await uow.commit()
        return answer


async def completed(store: Store, run: RunClaim | RunState) -> RunStatus:
    """Complete the run, and commit."""
    async with store.unit_of_work() as uow:
        status = await uow.runs.complete(run.run_key, run.attempt)
        await uow.commit()
        return status


async def running(store: Store, run: RunClaim) -> None:
    """Send a heartbeat of the run, and commit."""
    assert await store.run(lambda uow: uow.runs.heartbeat(run.run_key, run.attempt)) is (
        RunStatus.RUNNING
    )


async def stored_run(store: Store, key: str) -> RunState:
    """Return the run with this key."""
    async with store.reader() as view:
        state = await view.runs.find_by_key(key)
    assert state is not None
    return state


async def change(store: Store, key: str, **values: Any) -> None:
    """Set fields of the run, and commit."""
    async with store.unit_of_work() as uow:
        state = await uow.runs.find_by_key(key)
        assert state is not None
        for name, value in values.items():
            setattr(state, name, value)
        await uow.commit()


class ClaimsContract:
    """A claim is granted to one, and says why."""

    async def test_a_new_head_is_claimed_and_pending(self, store: Store) -> None:
        answer = await claimed(store, "one", action="opened")
        state = await stored_run(store, answer.run_key)
        assert answer == RunClaim(
            run_key=run_key(REPO, 7, "base", "one"),
            outcome=ClaimOutcome.NEW,
            attempt=state.attempt,
        )
        assert answer.claimed
        assert (state.repo, state.pr_number, state.delivery_id) == (REPO, 7, "delivery")
        assert (state.status, state.head_sha, state.base_sha, state.action) == (
            RunStatus.PENDING,
            "one",
            "base",
            "opened",
        )
        assert state.claimed_at is not None
        assert abs(state.claimed_at - ago(timedelta())) < EDGE

    async def test_repository_pull_request_base_and_head_make_the_key(self, store: Store) -> None:
        answers = [
            await claimed(store, "one"),
            await claimed(store, "one", base_sha="other"),
            await claimed(store, "one", pr_number=8),
            await claimed(store, UNICODE, repo="acme/web"),
        ]
        assert len({answer.run_key for answer in answers}) == 4
        assert [answer.claimed for answer in answers] == [True] * 4
        assert answers[1].superseded == (answers[0].run_key,)

    async def test_the_same_head_again_is_a_duplicate_whatever_became_of_the_run(
        self, store: Store
    ) -> None:
        for head in ("superseded", "completed", "pending"):
            run_of_head = await claimed(store, head)
            if head == "completed":
                await completed(store, run_of_head)
        states = [
            (await stored_run(store, run_key(REPO, 7, "base", head))).status
            for head in ("superseded", "completed", "pending")
        ]
        assert states == [RunStatus.SUPERSEDED, RunStatus.COMPLETED, RunStatus.PENDING]
        for head in ("superseded", "completed", "pending"):
            answer = await claimed(store, head, delivery_id="late", action="late")
            assert (answer.outcome, answer.claimed, answer.superseded) == (
                ClaimOutcome.DUPLICATE,
                False,
                (),
            )
            assert (await stored_run(store, answer.run_key)).delivery_id == "delivery"

    async def test_another_head_takes_the_place_of_the_unfinished_run(self, store: Store) -> None:
        first, second = await claimed(store, "one"), await claimed(store, "two")
        assert (second.outcome, second.superseded, second.claimed) == (
            ClaimOutcome.SUPERSEDED_PRIOR,
            (first.run_key,),
            True,
        )
        state = await stored_run(store, first.run_key)
        assert (state.status, state.superseded_by) == (RunStatus.SUPERSEDED, second.run_key)

    async def test_a_run_under_way_is_superseded_and_a_completed_one_is_not(
        self, store: Store
    ) -> None:
        done = await claimed(store, "one")
        await completed(store, done)
        under_way = await claimed(store, "two")
        await running(store, under_way)
        third = await claimed(store, "three")
        assert third.superseded == (under_way.run_key,)
        assert (await stored_run(store, done.run_key)).status is RunStatus.COMPLETED

    async def test_heads_of_other_pull_requests_repositories_and_tenants_are_left_alone(
        self, store: Store
    ) -> None:
        answers = [
            await claimed(store, "one"),
            await claimed(store, "two", pr_number=8),
            await claimed(store, "two", repo="acme/web"),
            await claimed(store, "two", tenant="other"),
            await claimed(store, "one", tenant="other", pr_number=8),
        ]
        assert {answer.outcome for answer in answers} == {ClaimOutcome.NEW}

    @pytest.mark.parametrize("field", ["repo", "base_sha", "head_sha", "delivery_id", "action"])
    @pytest.mark.parametrize("length", [0, 401, 100_000])
    async def test_a_text_of_another_length_is_refused_and_the_argument_named(
        self, store: Store, field: str, length: int
    ) -> None:
        texts = {"repo": REPO, "base_sha": "base", "head_sha": "one", "delivery_id": "delivery"}
        arguments: dict[str, Any] = {**texts, "action": "opened", field: "x" * length}
        async with store.unit_of_work() as uow:
            with pytest.raises(InvalidInput, match=f"^{field}: ") as refusal:
                await uow.runs.claim(pr_number=7, **arguments)
            assert refusal.value.field == field
            assert await uow.runs.count() == 0, "the unit of work can still be used"

    async def test_a_run_pending_for_over_an_hour_is_claimed_again_and_its_lease_starts_again(
        self, store: Store
    ) -> None:
        key = (await claimed(store, "one", delivery_id="first")).run_key
        await change(store, key, claimed_at=ago(HOUR - EDGE))
        assert (await claimed(store, "one")).outcome is ClaimOutcome.DUPLICATE
        await change(store, key, claimed_at=ago(HOUR + EDGE))
        again = await claimed(store, "one", delivery_id="second", action="reopened")
        assert (again.outcome, again.claimed, again.superseded) == (
            ClaimOutcome.STALE_PENDING,
            True,
            (),
        )
        assert (await claimed(store, "one")).outcome is ClaimOutcome.DUPLICATE
        state = await stored_run(store, key)
        assert (state.delivery_id, state.action, state.status) == (
            "second",
            "reopened",
            RunStatus.PENDING,
        )
        assert state.claimed_at is not None
        assert abs(state.claimed_at - ago(timedelta())) < EDGE

    async def test_a_run_with_a_live_lease_is_not_stale_however_long_ago_it_was_claimed(
        self, store: Store
    ) -> None:
        run_of_head = await claimed(store, "one")
        await running(store, run_of_head)
        await change(store, run_of_head.run_key, claimed_at=ago(100 * HOUR))
        assert (await claimed(store, "one")).outcome is ClaimOutcome.DUPLICATE

    async def test_a_stale_run_is_superseded_by_another_head(self, store: Store) -> None:
        key = (await claimed(store, "one")).run_key
        await change(store, key, claimed_at=ago(100 * HOUR))
        assert (await claimed(store, "two")).superseded == (key,)
        assert (await claimed(store, "one")).outcome is ClaimOutcome.DUPLICATE

    async def test_one_unit_of_work_may_claim_one_head_after_the_other(self, store: Store) -> None:
        async with store.unit_of_work() as uow:
            first, second = await claim(uow, "one"), await claim(uow, "two")
            assert (await claim(uow, "two")).outcome is ClaimOutcome.DUPLICATE
            added = uow.runs.add(run(pr_number=8))
            third = await claim(uow, "two", pr_number=8)
            await uow.commit()
        assert (second.superseded, third.superseded) == ((first.run_key,), (added.run_key,))
        assert (await stored_run(store, added.run_key)).superseded_by == third.run_key

    async def test_a_claim_that_is_not_committed_is_none(self, store: Store) -> None:
        first = await claimed(store, "one")
        async with store.unit_of_work() as uow:
            assert (await claim(uow, "two")).superseded == (first.run_key,)
        assert (await stored_run(store, first.run_key)).status is RunStatus.PENDING
        assert (await claimed(store, "two")).outcome is ClaimOutcome.SUPERSEDED_PRIOR

    async def test_what_a_run_cannot_be_is_refused_before_a_statement(self, store: Store) -> None:
        async with store.unit_of_work() as uow:
            wrongs: tuple[dict[str, Any], ...] = (
                {"repo": ""},
                {"pr_number": 0},
                {"head": ""},
                {"head": "\0"},
                {"pr_number": 2**31},
            )
            for wrong in wrongs:
                with pytest.raises(InvalidInput):
                    await claim(uow, **{"head": "one", **wrong})
            with pytest.raises(InvalidInput) as refusal:
                await claim(uow, "one", pr_number=MORE_DIGITS_THAN_PYTHON_WRITES)
            assert refusal.value.field == "pr_number"
            assert (await claim(uow, "one")).claimed

    async def test_a_run_becomes_only_what_its_status_allows(self, store: Store) -> None:
        async def again(uow: UnitOfWork, of: RunState) -> None:
            await claim(uow, of.head_sha, pr_number=of.pr_number)

        async def of_another_head(uow: UnitOfWork, of: RunState) -> None:
            await claim(uow, "another", pr_number=of.pr_number)

        async def complete(uow: UnitOfWork, of: RunState) -> None:
            await uow.runs.complete(of.run_key, of.attempt)

        became: dict[RunStatus, set[RunStatus]] = {status: set() for status in RunStatus}
        for status in RunStatus:
            for act in (again, of_another_head, complete):
                of = run(status=status, claimed_at=ago(2 * HOUR))
                of.run_key = run_key(of.repo, of.pr_number, of.base_sha, of.head_sha)
                await write(store, of)
                async with store.unit_of_work() as uow:
                    await act(uow, of)
                    await uow.commit()
                became[status].add((await stored_run(store, of.run_key)).status)
        assert all(after <= ALLOWED_CHANGES[before] | {before} for before, after in became.items())
        assert became[RunStatus.RUNNING] == {
            RunStatus.PENDING,
            RunStatus.SUPERSEDED,
            RunStatus.COMPLETED,
        }

    async def test_a_pull_request_has_one_unfinished_run_at_most_whoever_writes_it(
        self, store: Store
    ) -> None:
        async with store.unit_of_work() as uow:
            await claim(uow, "one")
            uow.runs.add(run(pr_number=7))
            with pytest.raises(AlreadyExists) as refusal:
                await uow.flush()
        assert refusal.value.table == "run_state"

    async def test_a_run_is_found_by_its_key_in_its_tenant(self, store: Store) -> None:
        await write(store, one := run(run_key=UNICODE), run())
        async with store.unit_of_work() as uow:
            state = await uow.runs.find_by_key(UNICODE)
            assert state is not None
            assert facts(state) == facts(one)
            assert await uow.runs.find_by_key("") is None
        async with store.reader(tenant="other") as view:
            assert await view.runs.find_by_key(UNICODE) is None
