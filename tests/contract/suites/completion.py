"""Runs that end: completed, superseded, or purged."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from domain import InvalidInput, NotFound, RunStatus
from tests.contract.suites.kinds import write
from tests.contract.suites.runs import DAY, EDGE, HOUR, ago, change, claimed, completed, stored_run
from tests.contract.suites.samples import MOMENT, REPO, run

if TYPE_CHECKING:
    from tests.contract.suites.store import Store


class CompletionContract:
    """A run is completed once, and its head is then the last that was reviewed."""

    async def test_a_pending_and_a_running_run_become_completed(self, store: Store) -> None:
        for status in (RunStatus.PENDING, RunStatus.RUNNING):
            one = run(status=status)
            await write(store, one)
            assert await completed(store, one) is RunStatus.COMPLETED
            state = await stored_run(store, one.run_key)
            assert state.status is RunStatus.COMPLETED
            assert state.completed_at is not None
            assert abs(state.completed_at - ago(timedelta())) < EDGE

    async def test_a_superseded_run_stays_superseded_and_the_caller_learns_it(
        self, store: Store
    ) -> None:
        first = await claimed(store, "one")
        await claimed(store, "two")
        assert await completed(store, first) is RunStatus.SUPERSEDED
        state = await stored_run(store, first.run_key)
        assert (state.status, state.completed_at) == (RunStatus.SUPERSEDED, None)

    async def test_completing_again_changes_nothing(self, store: Store) -> None:
        claim = await claimed(store, "one")
        await completed(store, claim)
        before = await stored_run(store, claim.run_key)
        assert await completed(store, claim) is RunStatus.COMPLETED
        assert await stored_run(store, claim.run_key) == before

    async def test_an_unknown_run_and_one_of_another_tenant_are_not_found(
        self, store: Store
    ) -> None:
        theirs = await claimed(store, "one", tenant="other")
        for key in (theirs.run_key, "unknown"):
            async with store.unit_of_work() as uow:
                with pytest.raises(NotFound) as missing:
                    await uow.runs.complete(key, theirs.attempt)
                assert (missing.value.entity, missing.value.key) == ("RunState", key)
                assert await uow.runs.count() == 0, "the unit of work can still be used"

    async def test_the_last_reviewed_head_is_the_newest_completed_one_whatever_was_claimed_since(
        self, store: Store
    ) -> None:
        async with store.reader() as view:
            assert await view.runs.last_reviewed_head(REPO, 7) is None
        keys = []
        for head in ("one", "two"):
            claim = await claimed(store, head)
            keys.append(claim.run_key)
            await completed(store, claim)
        await claimed(store, "three")
        await claimed(store, "four")
        async with store.reader() as view:
            assert await view.runs.last_reviewed_head(REPO, 7) == "two"
            assert await view.runs.last_reviewed_head(REPO, 8) is None
            assert await view.runs.last_reviewed_head("acme/web", 7) is None
        async with store.reader(tenant="other") as view:
            assert await view.runs.last_reviewed_head(REPO, 7) is None
        await change(store, keys[0], completed_at=ago(-HOUR))
        async with store.reader() as view:
            assert await view.runs.last_reviewed_head(REPO, 7) == "one"

    async def test_of_two_completed_at_once_the_one_made_last_is_the_newest(
        self, store: Store
    ) -> None:
        done = {"pr_number": 7, "status": RunStatus.COMPLETED, "completed_at": MOMENT}
        first, second = run(head_sha="one", **done), run(head_sha="two", **done)
        await write(store, second, first, run(**{**done, "completed_at": MOMENT - HOUR}))
        async with store.unit_of_work() as uow:
            assert await uow.runs.last_reviewed_head(REPO, 7) == "two"
            uow.runs.add(run(head_sha="three", **done))
            assert await uow.runs.last_reviewed_head(REPO, 7) == "three"


class RunPurgeContract:
    """Each status has its own age; a run in progress stays."""

    async def test_each_status_has_its_own_age_and_a_run_in_progress_stays(
        self, store: Store
    ) -> None:
        old, new = {"claimed_at": ago(1_000 * DAY)}, {"claimed_at": ago(timedelta())}
        gone = [
            run(status=RunStatus.COMPLETED, completed_at=ago(30 * DAY + EDGE), **new),
            run(status=RunStatus.SUPERSEDED, claimed_at=ago(7 * DAY + EDGE)),
            run(status=RunStatus.PENDING, claimed_at=ago(HOUR + EDGE)),
            run(status=RunStatus.RUNNING, claimed_at=ago(HOUR + EDGE)),
        ]
        in_progress = {"lease_expires_at": ago(-HOUR)}
        recent = [
            run(status=RunStatus.COMPLETED, completed_at=ago(30 * DAY - EDGE), **old),
            run(status=RunStatus.SUPERSEDED, claimed_at=ago(7 * DAY - EDGE)),
            run(status=RunStatus.PENDING, claimed_at=ago(HOUR - EDGE)),
            run(status=RunStatus.RUNNING, **old, **in_progress),
        ]
        await write(store, *gone, *recent)
        await write(store, run(**old), tenant="other")
        async with store.unit_of_work() as uow:
            assert await uow.runs.purge() == len(gone)
            assert [one.run_key for one in await uow.runs.list()] == [one.run_key for one in recent]
            assert await uow.runs.purge() == 0
            assert (
                await uow.runs.purge(
                    completed_days=29.5, superseded_days=30, pending_hours=36_500 * 24
                )
                == 1
            )
            assert await uow.runs.purge(completed_days=0, superseded_days=0, pending_hours=0) == 1
            await uow.commit()
        async with store.reader(tenant="other") as view:
            assert await view.runs.count() == 1

    async def test_many_are_purged_some_at_a_time_the_first_by_id_first(self, store: Store) -> None:
        old = [run(status=RunStatus.SUPERSEDED, claimed_at=ago(8 * DAY)) for _ in range(5)]
        await write(store, *old, run(status=RunStatus.RUNNING, lease_expires_at=ago(-HOUR)))
        purged: list[int] = []
        while not purged or purged[-1]:
            purged.append(await store.run(lambda uow: uow.runs.purge(at_most=2)))
            async with store.reader() as view:
                assert [one.id for one in await view.runs.list()][:-1] == [one.id for one in old][
                    sum(purged) :
                ]
        assert purged == [2, 2, 1, 0]
        async with store.unit_of_work() as uow:
            with pytest.raises(InvalidInput) as refusal:
                await uow.runs.purge(at_most=0)
            assert refusal.value.field == "at_most"

    async def test_an_age_that_is_none_is_refused_and_named(self, store: Store) -> None:
        async with store.unit_of_work() as uow:
            for name in ("completed_days", "superseded_days", "pending_hours"):
                for age in (-1.0, float("nan"), float("inf"), 1e9):
                    with pytest.raises(InvalidInput) as refusal:
                        await uow.runs.purge(**{name: age})  # type: ignore[arg-type]  # the names are those of ages
                    assert refusal.value.field == name
            assert await uow.runs.count() == 0
