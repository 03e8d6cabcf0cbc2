"""Merged dependency bumps."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from domain import InvalidInput, SemverBump
from tests.contract.suites.kinds import facts, write
from tests.contract.suites.runs import DAY
from tests.contract.suites.samples import MOMENT, REPO, UNICODE, bump

if TYPE_CHECKING:
    from tests.contract.suites.store import Store


class DependencyBumpsContract:
    """The first bump of a pull request wins, and can be read back."""

    async def test_the_first_of_a_pull_request_wins_and_the_caller_learns_it(
        self, store: Store
    ) -> None:
        first = bump(
            pr_number=1,
            semver_bump_type=SemverBump.MAJOR,
            signals=[{"label": UNICODE}, 1.5, None],
            merge_confidence_rationale="plain",
            new_version=UNICODE,
        )
        async with store.unit_of_work() as uow:
            assert await uow.dependency_bumps.record(first)
            assert not await uow.dependency_bumps.record(bump(pr_number=1, package_name="other"))
            assert await uow.dependency_bumps.record(bump(pr_number=1, repo="acme/web"))
            assert await uow.dependency_bumps.record(bump(pr_number=2))
            await uow.commit()
        async with store.unit_of_work(tenant="other") as uow:
            assert await uow.dependency_bumps.record(bump(pr_number=1))
        async with store.reader() as view:
            row = await view.dependency_bumps.get(first.id)
            assert await view.dependency_bumps.count() == 3
        without_moment = {"created_at"}
        assert {key: value for key, value in facts(row).items() if key not in without_moment} == {
            key: value for key, value in facts(first).items() if key not in without_moment
        }

    async def test_a_packages_history_comes_merged_last_first_and_those_without_a_date_at_the_end(
        self, store: Store
    ) -> None:
        dated = [bump(merged_at=MOMENT + n * DAY) for n in (1, 3, 2, 2)]
        undated = [bump(), bump()]
        await write(
            store,
            *undated,
            *dated,
            bump(package_name="other"),
            bump(repo="acme/web"),
            bump(package_name=None),
        )
        await write(store, bump(), tenant="other")
        expected = [
            dated[1].id,
            dated[3].id,
            dated[2].id,
            dated[0].id,
            undated[1].id,
            undated[0].id,
        ]
        async with store.reader() as view:
            history = view.dependency_bumps.history
            assert [one.id for one in await history(REPO, "left-pad")] == expected
            assert [one.id for one in await history(REPO, "left-pad", limit=5)] == expected[:5]
            assert await history(REPO, "") == []
            for limit in (0, 10_001):
                with pytest.raises(InvalidInput):
                    await history(REPO, "left-pad", limit=limit)

    async def test_what_was_read_back_in_a_unit_of_work_is_tracked(self, store: Store) -> None:
        await write(store, bump(package_name=UNICODE))
        async with store.unit_of_work() as uow:
            [one] = await uow.dependency_bumps.history(REPO, UNICODE)
            one.is_security_bump = True
            await uow.commit()
        async with store.reader() as view:
            assert [
                one.is_security_bump for one in await view.dependency_bumps.history(REPO, UNICODE)
            ] == [True]
