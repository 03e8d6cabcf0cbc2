"""What is known of authors and of dependency bumps."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from domain import AuthorTier, InvalidInput, SemverBump
from repositories.testing.contract.kinds import facts, write
from repositories.testing.contract.runs import DAY, EDGE, HOUR, ago
from repositories.testing.contract.samples import MOMENT, REPO, UNICODE, author, bump

if TYPE_CHECKING:
    from repositories.testing.contract.store import Store


class AuthorsContract:
    """An author is upserted, and read only while fresh."""

    async def test_an_author_is_replaced_but_for_id_and_the_moment_of_making(self, store: Store) -> None:
        first = author("ada", tier=AuthorTier.FIRST_TIME, pr_count=1, created_at=MOMENT, cached_at=ago(HOUR))
        later = author("ada", tier=AuthorTier.CORE, author_association=UNICODE)
        for one in (first, later):
            async with store.unit_of_work() as uow:
                await uow.authors.upsert(one)
                await uow.commit()
        async with store.reader() as view:
            kept = await view.authors.find_author(REPO, "ada")
            assert await view.authors.count() == 1
        assert kept is not None
        assert (kept.id, kept.created_at) == (first.id, MOMENT)
        assert (kept.tier, kept.pr_count, kept.author_association) == (AuthorTier.CORE, None, UNICODE)
        assert kept.cached_at is not None
        assert kept.cached_at > ago(EDGE), "without a moment of its own it is cached now"

    async def test_an_author_is_found_while_younger_than_the_age_asked_for(self, store: Store) -> None:
        await write(store, author("fresh", cached_at=ago(DAY - EDGE)), author("old", cached_at=ago(DAY + EDGE)))
        async with store.reader() as view:
            find = view.authors.find_author
            assert await find(REPO, "fresh") is not None
            assert await find(REPO, "old") is None
            assert await find(REPO, "old", max_age=DAY + 2 * EDGE) is not None
            assert await find(REPO, "old", max_age=36_500 * DAY) is not None
            assert await find(REPO, "fresh", max_age=timedelta(0)) is None
            assert await find(REPO, "FRESH") is None
            assert await find("acme/web", "fresh") is None
        async with store.reader(tenant="other") as view:
            assert await view.authors.find_author(REPO, "fresh") is None

    async def test_what_was_cached_just_now_is_fresh_and_shows_in_what_was_read_before(self, store: Store) -> None:
        async with store.unit_of_work() as uow:
            await uow.authors.upsert(author("ada"))
            before = await uow.authors.find_author(REPO, "ada", max_age=timedelta(0))
            assert before is not None
            await uow.authors.upsert(author("ada", tier=AuthorTier.CORE))
            assert await uow.authors.find_author(REPO, "ada") is before
            assert before.tier is AuthorTier.CORE

    async def test_repository_and_login_make_the_key_in_each_tenant(self, store: Store) -> None:
        for tenant, repo, login in (
            ("default", REPO, "ada"),
            ("default", REPO, UNICODE),
            ("default", "acme/web", "ada"),
            ("other", REPO, "ada"),
        ):
            async with store.unit_of_work(tenant=tenant) as uow:
                await uow.authors.upsert(author(login, repo=repo))
                await uow.commit()
        async with store.reader() as view:
            assert await view.authors.count() == 3
            assert await view.authors.find_author(REPO, UNICODE) is not None

    async def test_an_empty_name_and_an_age_that_is_none_are_refused(self, store: Store) -> None:
        async with store.unit_of_work() as uow:
            for repo, login, age, field in (
                ("", "ada", DAY, "repo"),
                (REPO, "", DAY, "login"),
                (REPO, "ada", -EDGE, "max_age"),
                (REPO, "ada", 36_501 * DAY, "max_age"),
            ):
                with pytest.raises(InvalidInput) as refusal:
                    await uow.authors.find_author(repo, login, max_age=age)
                assert refusal.value.field == field
            assert await uow.authors.count() == 0

    async def test_what_was_cached_too_long_ago_is_purged(self, store: Store) -> None:
        old, new = author(cached_at=ago(7 * DAY + EDGE)), author(cached_at=ago(7 * DAY - EDGE), created_at=MOMENT)
        await write(store, old, new)
        await write(store, author(cached_at=MOMENT), tenant="other")
        async with store.unit_of_work() as uow:
            assert await uow.authors.purge() == 1
            assert [one.id for one in await uow.authors.list()] == [new.id]
            assert await uow.authors.purge() == 0
            with pytest.raises(InvalidInput) as unbounded:
                await uow.authors.purge(at_most=0)
            assert unbounded.value.field == "at_most"
            assert await uow.authors.purge(days=6.5, at_most=1) == 1
            await uow.commit()
        async with store.unit_of_work(tenant="other") as uow:
            assert await uow.authors.count() == 1
            for days in (-1, float("nan"), 36_501):
                with pytest.raises(InvalidInput) as refusal:
                    await uow.authors.purge(days=days)
                assert refusal.value.field == "days"


class DependencyBumpsContract:
    """The first bump of a pull request wins, and can be read back."""

    async def test_the_first_of_a_pull_request_wins_and_the_caller_is_told(self, store: Store) -> None:
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
            kept = await view.dependency_bumps.get(first.id)
            assert await view.dependency_bumps.count() == 3
        without_moment = {"created_at"}
        assert {key: value for key, value in facts(kept).items() if key not in without_moment} == {
            key: value for key, value in facts(first).items() if key not in without_moment
        }

    async def test_a_packages_history_comes_merged_last_first_and_those_without_a_date_at_the_end(self, store: Store) -> None:
        dated = [bump(merged_at=MOMENT + n * DAY) for n in (1, 3, 2, 2)]
        undated = [bump(), bump()]
        await write(store, *undated, *dated, bump(package_name="other"), bump(repo="acme/web"), bump(package_name=None))
        await write(store, bump(), tenant="other")
        expected = [dated[1].id, dated[3].id, dated[2].id, dated[0].id, undated[1].id, undated[0].id]
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
            assert [one.is_security_bump for one in await view.dependency_bumps.history(REPO, UNICODE)] == [True]
