"""Events in the life of a run, and what claim, heartbeat and complete return for each."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from domain import (
    ClaimOutcome,
    InvalidInput,
    LeaseLost,
    NotFound,
    RunClaim,
    RunStatus,
    UnitOfWork,
)
from tests.contract.suites.concurrency import at_once
from tests.contract.suites.runs import DAY, EDGE, HOUR, ago, change, claim, claimed, stored_run
from tests.contract.suites.samples import MOMENT, REPO

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.contract.suites.store import Store

CALLERS = 8
MINUTE = timedelta(minutes=1)


def at(minute: int) -> datetime:
    """Return the time of an event, so many minutes after the first."""
    return datetime(2026, 3, 1, 12, tzinfo=UTC) + minute * MINUTE


async def heartbeat(store: Store, run: RunClaim, **values: Any) -> RunStatus:
    """Send a heartbeat, and commit."""
    return await store.run(lambda uow: uow.runs.heartbeat(run.run_key, run.attempt, **values))


async def complete(store: Store, run: RunClaim) -> RunStatus:
    """Complete the run, and commit."""
    return await store.run(lambda uow: uow.runs.complete(run.run_key, run.attempt))


async def abandon(store: Store, run: RunClaim) -> None:
    """Let the lease of the run expire, as if its worker had crashed."""
    await change(
        store, run.run_key, claimed_at=ago(2 * HOUR), lease_expires_at=ago(timedelta(minutes=1))
    )


async def last_reviewed(store: Store) -> str | None:
    async with store.reader() as view:
        return await view.runs.last_reviewed_head(REPO, 7)


class RunEventsContract:
    """One test for each event that the docstring of `RunRepository` lists."""

    async def test_a_webhook_delivered_twice_is_reviewed_once(self, store: Store) -> None:
        first = await claimed(store, "one", delivery_id="1", occurred_at=at(0))
        for delivery in ("1", "2"):
            again = await claimed(store, "one", delivery_id=delivery, occurred_at=at(0))
            assert (again.outcome, again.claimed) == (ClaimOutcome.DUPLICATE, False)
            assert await heartbeat(store, first) is RunStatus.RUNNING
        assert await complete(store, first) is RunStatus.COMPLETED
        for delivery in ("1", "2"):
            again = await claimed(store, "one", delivery_id=delivery, occurred_at=at(0))
            assert again.outcome is ClaimOutcome.DUPLICATE

    async def test_a_late_webhook_supersedes_nothing(self, store: Store) -> None:
        current = await claimed(store, "new", delivery_id="1", occurred_at=at(5))
        late = await claimed(store, "old", delivery_id="2", occurred_at=at(4))
        assert (late.outcome, late.claimed, late.superseded) == (ClaimOutcome.OUTDATED, False, ())
        assert await heartbeat(store, current) is RunStatus.RUNNING
        async with store.reader() as view:
            assert await view.runs.find_by_key(late.run_key) is None
        # Without a time, or with the same one, the newest delivery wins.
        assert (await claimed(store, "other", occurred_at=at(5))).superseded == (current.run_key,)

    async def test_a_late_webhook_of_a_superseded_head_supersedes_nothing(
        self, store: Store
    ) -> None:
        await claimed(store, "old", delivery_id="1", occurred_at=at(0))
        current = await claimed(store, "new", delivery_id="2", occurred_at=at(5))
        for occurred_at in (at(4), at(5), None):
            late = await claimed(store, "old", delivery_id="3", occurred_at=occurred_at)
            assert (late.claimed, late.superseded) == (False, ())
            assert await heartbeat(store, current) is RunStatus.RUNNING
        # A request that is known to be older than the run in progress supersedes nothing, either.
        late = await claimed(store, "old", delivery_id="3", occurred_at=at(4), again=True)
        assert late.outcome is ClaimOutcome.OUTDATED
        assert await complete(store, current) is RunStatus.COMPLETED

    async def test_a_force_push_forward_supersedes_the_run_in_progress(self, store: Store) -> None:
        first = await claimed(store, "one", delivery_id="1", occurred_at=at(0))
        second = await claimed(store, "two", delivery_id="2", occurred_at=at(1))
        assert (second.outcome, second.superseded) == (
            ClaimOutcome.SUPERSEDED_PRIOR,
            (first.run_key,),
        )
        assert await heartbeat(store, first) is RunStatus.SUPERSEDED
        assert await complete(store, first) is RunStatus.SUPERSEDED
        assert await complete(store, second) is RunStatus.COMPLETED
        assert await last_reviewed(store) == "two"

    async def test_a_force_push_back_is_reviewed_when_no_run_is_unfinished(
        self, store: Store
    ) -> None:
        first = await claimed(store, "one", delivery_id="1")
        await complete(store, await claimed(store, "two", delivery_id="2"))
        assert not (await claimed(store, "one", delivery_id="1")).claimed, "the same delivery"
        back = await claimed(store, "one", delivery_id="3", action="back")
        assert (back.outcome, back.run_key, back.superseded) == (
            ClaimOutcome.RETURNED,
            first.run_key,
            (),
        )
        run = await stored_run(store, back.run_key)
        assert (run.status, run.superseded_by, run.delivery_id, run.action) == (
            RunStatus.PENDING,
            None,
            "3",
            "back",
        )
        with pytest.raises(LeaseLost):
            await complete(store, first)
        assert await last_reviewed(store) == "two"
        assert await complete(store, back) is RunStatus.COMPLETED
        assert await last_reviewed(store) == "one"

    async def test_a_force_push_back_with_a_later_event_supersedes_the_run_in_progress(
        self, store: Store
    ) -> None:
        await claimed(store, "one", delivery_id="1", occurred_at=at(0))
        second = await claimed(store, "two", delivery_id="2", occurred_at=at(1))
        assert not (await claimed(store, "one", delivery_id="3")).claimed, "no time"
        assert not (await claimed(store, "one", delivery_id="3", occurred_at=at(1))).claimed
        back = await claimed(store, "one", delivery_id="3", occurred_at=at(2))
        assert (back.outcome, back.superseded) == (ClaimOutcome.RETURNED, (second.run_key,))
        run = await stored_run(store, second.run_key)
        assert (run.status, run.superseded_by) == (RunStatus.SUPERSEDED, back.run_key)
        assert await heartbeat(store, second) is RunStatus.SUPERSEDED
        assert await complete(store, back) is RunStatus.COMPLETED

    async def test_the_time_of_a_claim_stands_for_an_unknown_time_of_its_event(
        self, store: Store
    ) -> None:
        await claimed(store, "one", delivery_id="1")
        second = await claimed(store, "two", delivery_id="2")
        assert not (await claimed(store, "one", delivery_id="3", occurred_at=ago(HOUR))).claimed
        back = await claimed(store, "one", delivery_id="3", occurred_at=ago(-HOUR))
        assert back.superseded == (second.run_key,)

    async def test_a_requested_review_of_a_completed_head_keeps_the_last_reviewed_one(
        self, store: Store
    ) -> None:
        first = await claimed(store, "one", delivery_id="1")
        await complete(store, first)
        before = await stored_run(store, first.run_key)
        for values in ({"delivery_id": "2"}, {"delivery_id": "1", "again": True}):
            assert (await claimed(store, "one", **values)).outcome is ClaimOutcome.DUPLICATE
        repeated = await claimed(store, "one", delivery_id="2", again=True)
        assert (repeated.outcome, repeated.run_key) == (ClaimOutcome.REQUESTED, first.run_key)
        assert await last_reviewed(store) == "one"
        run = await stored_run(store, repeated.run_key)
        assert (run.status, run.completed_at) == (RunStatus.PENDING, before.completed_at)
        # A second request while the review is in progress, and the same webhook again.
        for delivery in ("2", "3"):
            assert not (await claimed(store, "one", delivery_id=delivery, again=True)).claimed
        with pytest.raises(LeaseLost):
            await complete(store, first)
        assert await complete(store, repeated) is RunStatus.COMPLETED
        assert not (await claimed(store, "one", delivery_id="2", again=True)).claimed
        assert (await claimed(store, "one", delivery_id="3", again=True)).claimed

    async def test_a_reviewed_head_stays_the_last_one_when_its_new_review_is_superseded(
        self, store: Store
    ) -> None:
        await complete(store, await claimed(store, "one", delivery_id="1"))
        repeated = await claimed(store, "one", delivery_id="2", again=True)
        assert (await claimed(store, "two", delivery_id="3")).superseded == (repeated.run_key,)
        assert await last_reviewed(store) == "one"
        await change(store, repeated.run_key, claimed_at=ago(8 * DAY))
        assert await store.run(lambda uow: uow.runs.purge()) == 0
        assert await last_reviewed(store) == "one"

    async def test_a_requested_review_supersedes_another_head_unless_the_request_is_older(
        self, store: Store
    ) -> None:
        await claimed(store, "one", delivery_id="1", occurred_at=at(0))
        second = await claimed(store, "two", delivery_id="2", occurred_at=at(2))
        old = await claimed(store, "one", delivery_id="3", occurred_at=at(1), again=True)
        assert old.outcome is ClaimOutcome.OUTDATED
        new = await claimed(store, "one", delivery_id="3", occurred_at=at(3), again=True)
        assert (new.outcome, new.superseded) == (ClaimOutcome.REQUESTED, (second.run_key,))

    async def test_a_requested_review_of_a_new_head_is_a_first_claim(self, store: Store) -> None:
        assert (await claimed(store, "one", again=True)).outcome is ClaimOutcome.NEW

    @pytest.mark.parametrize("is_running", [False, True], ids=["pending", "running"])
    async def test_the_run_of_a_crashed_worker_is_claimed_again(
        self, store: Store, *, is_running: bool
    ) -> None:
        crashed = await claimed(store, "one", delivery_id="1")
        if is_running:
            assert await heartbeat(store, crashed) is RunStatus.RUNNING
        assert not (await claimed(store, "one", delivery_id="1")).claimed
        await abandon(store, crashed)
        replacing = await claimed(store, "one", delivery_id="1")
        assert replacing.outcome is (
            ClaimOutcome.STALE_RUNNING if is_running else ClaimOutcome.STALE_PENDING
        )
        assert not (await claimed(store, "one", delivery_id="1")).claimed
        assert await complete(store, replacing) is RunStatus.COMPLETED

    async def test_another_head_takes_the_place_of_a_crashed_run(self, store: Store) -> None:
        await claimed(store, "one", delivery_id="1")
        crashed = await claimed(store, "two", delivery_id="2")
        await heartbeat(store, crashed)
        await abandon(store, crashed)
        back = await claimed(store, "one", delivery_id="3")
        assert (back.outcome, back.superseded) == (ClaimOutcome.RETURNED, (crashed.run_key,))

    async def test_a_slow_worker_that_was_not_replaced_keeps_its_run(self, store: Store) -> None:
        slow = await claimed(store, "one")
        await abandon(store, slow)
        assert await heartbeat(store, slow, lease=2 * HOUR) is RunStatus.RUNNING
        assert (await claimed(store, "one", delivery_id="2")).outcome is ClaimOutcome.DUPLICATE
        run = await stored_run(store, slow.run_key)
        assert run.lease_expires_at is not None
        assert abs(run.lease_expires_at - ago(-2 * HOUR)) < EDGE
        await abandon(store, slow)
        assert await complete(store, slow) is RunStatus.COMPLETED
        run = await stored_run(store, slow.run_key)
        assert (run.status, run.lease_expires_at) == (RunStatus.COMPLETED, None)

    async def test_a_slow_worker_that_was_replaced_can_neither_extend_nor_complete(
        self, store: Store
    ) -> None:
        slow = await claimed(store, "one")
        await heartbeat(store, slow)
        await abandon(store, slow)
        replacing = await claimed(store, "one")
        for is_completed in (False, True):
            if is_completed:
                await complete(store, replacing)
            before = await stored_run(store, slow.run_key)
            async with store.unit_of_work() as uow:
                for act in (uow.runs.heartbeat, uow.runs.complete):
                    with pytest.raises(LeaseLost) as lost:
                        await act(slow.run_key, slow.attempt)
                    assert lost.value.run_key == slow.run_key
                assert await uow.runs.count() == 1, "the unit of work can still be used"
                await uow.commit()
            assert await stored_run(store, slow.run_key) == before
        assert await complete(store, replacing) is RunStatus.COMPLETED, "once more"

    async def test_the_token_of_a_refused_claim_holds_nothing(self, store: Store) -> None:
        first = await claimed(store, "one")
        refused = await claimed(store, "one")
        for act in (heartbeat, complete):
            with pytest.raises(LeaseLost):
                await act(store, refused)
        assert await heartbeat(store, first) is RunStatus.RUNNING

    async def test_a_heartbeat_of_a_finished_run_changes_nothing(self, store: Store) -> None:
        first = await claimed(store, "one")
        await complete(store, first)
        before = await stored_run(store, first.run_key)
        assert await heartbeat(store, first) is RunStatus.COMPLETED
        assert await stored_run(store, first.run_key) == before

    async def test_a_heartbeat_of_an_unknown_run_raises(self, store: Store) -> None:
        theirs = await claimed(store, "one", tenant="other")
        async with store.unit_of_work() as uow:
            for key in (theirs.run_key, "unknown"):
                with pytest.raises(NotFound) as missing:
                    await uow.runs.heartbeat(key, theirs.attempt)
                assert missing.value.key == key

    async def test_a_lease_can_be_shorter_and_a_heartbeat_makes_it_longer(
        self, store: Store
    ) -> None:
        short = await claimed(store, "one", lease=timedelta(microseconds=1))
        replacing = await claimed(store, "one", delivery_id="2", lease=MINUTE)
        assert replacing.outcome is ClaimOutcome.STALE_PENDING
        with pytest.raises(LeaseLost):
            await heartbeat(store, short)
        await heartbeat(store, replacing, lease=DAY)
        run = await stored_run(store, replacing.run_key)
        assert run.lease_expires_at is not None
        assert abs(run.lease_expires_at - ago(-DAY)) < EDGE

    async def test_a_wrong_lease_time_or_token_is_refused_and_named(self, store: Store) -> None:
        wrong_leases: tuple[Any, ...] = (timedelta(0), timedelta(seconds=-1), 60, None)
        async with store.unit_of_work() as uow:
            for lease in (*wrong_leases, timedelta(hours=1, seconds=1)):
                with pytest.raises(InvalidInput) as refusal:
                    await claim(uow, "one", lease=lease)
                assert refusal.value.field == "lease"
            for lease in (*wrong_leases, timedelta(days=36_501)):
                with pytest.raises(InvalidInput) as refusal:
                    await uow.runs.heartbeat("key", UUID(int=7), lease=lease)
                assert refusal.value.field == "lease"
            with pytest.raises(InvalidInput) as refusal:
                await claim(uow, "one", occurred_at=MOMENT.replace(tzinfo=None))
            assert refusal.value.field == "occurred_at"
            for token in ("x", 1, None):
                for act in (uow.runs.heartbeat, uow.runs.complete):
                    with pytest.raises(InvalidInput) as refusal:
                        await act("key", token)  # type: ignore[arg-type]  # a wrong token
                    assert refusal.value.field == "attempt"
            assert (await claim(uow, "one")).claimed

    async def test_a_token_can_be_text(self, store: Store) -> None:
        run = await claimed(store, "one")

        async def work(uow: UnitOfWork) -> RunStatus:
            token: Any = str(run.attempt)
            await uow.runs.heartbeat(run.run_key, token)
            return await uow.runs.complete(run.run_key, token)

        assert await store.run(work) is RunStatus.COMPLETED

    async def test_status_and_attempt_cannot_be_assigned(self, store: Store) -> None:
        run = await claimed(store, "one")
        await complete(store, run)
        async with store.unit_of_work() as uow:
            state = await uow.runs.find_by_key(run.run_key)
            assert state is not None
            for name, value in (("status", RunStatus.PENDING), ("attempt", UUID(int=7))):
                with pytest.raises(InvalidInput, match=r"runs\.claim") as refusal:
                    setattr(state, name, value)
                assert refusal.value.field == name
            await uow.commit()
        assert (await stored_run(store, run.run_key)).status is RunStatus.COMPLETED

    async def test_purge_deletes_expired_runs_and_no_run_in_progress(self, store: Store) -> None:
        abandoned = [await claimed(store, "one", pr_number=number) for number in (1, 2)]
        await heartbeat(store, abandoned[0])
        for run in abandoned:
            await abandon(store, run)
        working = [await claimed(store, "one", pr_number=number) for number in (3, 4)]
        await change(store, working[0].run_key, claimed_at=ago(100 * DAY))
        await heartbeat(store, working[0])
        assert await store.run(lambda uow: uow.runs.purge(pending_hours=3)) == 0
        assert await store.run(lambda uow: uow.runs.purge()) == 2
        assert await store.run(lambda uow: uow.runs.purge(pending_hours=0)) == 0
        assert await complete(store, working[0]) is RunStatus.COMPLETED
        with pytest.raises(NotFound):
            await complete(store, abandoned[0])
        assert (await claimed(store, "one", pr_number=1)).outcome is ClaimOutcome.NEW


class ConcurrentAttemptsContract:
    """Exactly one of several concurrent callers claims an existing run."""

    async def _granted(
        self, store: Store, *works: Callable[[UnitOfWork], Awaitable[RunClaim]]
    ) -> list[RunClaim]:
        granted = [answer for answer in await at_once(store, *works) if answer.claimed]
        unfinished = {RunStatus.PENDING, RunStatus.RUNNING}
        async with store.reader() as view:
            runs = [run for run in await view.runs.list() if run.status in unfinished]
        assert [run.attempt for run in runs] == [answer.attempt for answer in granted]
        return granted

    async def test_exactly_one_gets_a_head_that_returns(self, store: Store) -> None:
        await claimed(store, "one", delivery_id="1")
        await complete(store, await claimed(store, "two", delivery_id="2"))
        works = [
            lambda uow, n=n: claim(uow, "one", delivery_id=f"{n}") for n in range(3, 3 + CALLERS)
        ]
        [granted] = await self._granted(store, *works)
        assert granted.outcome is ClaimOutcome.RETURNED

    async def test_exactly_one_gets_a_requested_review(self, store: Store) -> None:
        await complete(store, await claimed(store, "one", delivery_id="0"))
        works = [
            lambda uow, n=n: claim(uow, "one", delivery_id=f"{n}", again=True)
            for n in range(1, 1 + CALLERS)
        ]
        [granted] = await self._granted(store, *works)
        assert granted.outcome is ClaimOutcome.REQUESTED

    async def test_exactly_one_gets_the_run_of_a_crashed_worker(self, store: Store) -> None:
        crashed = await claimed(store, "one")
        await heartbeat(store, crashed)
        await abandon(store, crashed)
        [granted] = await self._granted(store, *[lambda uow: claim(uow, "one")] * CALLERS)
        assert granted.outcome is ClaimOutcome.STALE_RUNNING

    async def test_exactly_one_of_old_and_new_heads_wins(self, store: Store) -> None:
        for number in range(10):
            pr_number = 100 + number
            await claimed(store, "old", delivery_id="0", pr_number=pr_number)
            second = await claimed(store, "done", delivery_id="0", pr_number=pr_number)
            await complete(store, second)
            heads = ("old", "done", "old", "new", "newer", "done")
            works = [
                lambda uow, head=head, n=n, pr_number=pr_number: claim(
                    uow, head, delivery_id=f"{n}", pr_number=pr_number, again=True
                )
                for n, head in enumerate(heads, 1)
            ]
            answers = await at_once(store, *works)
            assert [answer.claimed for answer in answers].count(True) == 1
            [winner] = [answer for answer in answers if answer.claimed]
            assert await complete(store, winner) is RunStatus.COMPLETED

    async def test_of_a_slow_worker_and_its_replacement_exactly_one_completes(
        self, store: Store
    ) -> None:
        for number in range(10):
            slow = await claimed(store, "one", pr_number=number + 1)
            await abandon(store, slow)

            async def finish(uow: UnitOfWork, slow: RunClaim = slow) -> object:
                try:
                    return await uow.runs.complete(slow.run_key, slow.attempt)
                except LeaseLost:
                    return None

            def replace(uow: UnitOfWork, number: int = number) -> Awaitable[object]:
                return claim(uow, "one", pr_number=number + 1)

            status, replacing = await at_once(store, finish, replace)
            assert isinstance(replacing, RunClaim)
            assert (status is RunStatus.COMPLETED) is not replacing.claimed
