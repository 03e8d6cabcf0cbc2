"""Authors and dependency bumps on PostgreSQL."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from domain import AuthorCacheEntry, AuthorTier, BumpSource, DependencyBumpMerge, InvalidInput, TenantMismatch
from repositories import Database, UnitOfWork

REPO = "acme/api"
MOMENT = datetime(2026, 3, 1, 12, tzinfo=UTC)


def author(**values: Any) -> AuthorCacheEntry:
    given = {"repo": REPO, "author_login": "ada", "tier": AuthorTier.REGULAR, "author_association": "MEMBER"}
    return AuthorCacheEntry(**{**given, **values})


def bump(pr_number: int, **values: Any) -> DependencyBumpMerge:
    given = {"repo": REPO, "pr_number": pr_number, "source": BumpSource.RENOVATE, "package_name": "left-pad"}
    return DependencyBumpMerge(**{**given, **values})


def ago(**duration: float) -> datetime:
    return datetime.now(UTC) - timedelta(**duration)


class TestAuthors:
    async def test_replacing_an_entry_keeps_its_id_and_replaces_all_else(self, database: Database) -> None:
        first = author(pr_count=3, cached_at=ago(hours=2))
        second = author(tier=AuthorTier.CORE, author_association="OWNER")
        for entry in (first, second):
            async with database.unit_of_work() as uow:
                await uow.authors.upsert(entry)
                await uow.commit()
        async with database.reader() as view:
            known = await view.authors.find_author(REPO, "ada")
            assert await view.authors.count() == 1
        assert known is not None
        assert (known.id, known.tier, known.author_association, known.pr_count) == (first.id, AuthorTier.CORE, "OWNER", None)
        assert known.cached_at is not None
        assert known.cached_at > ago(minutes=5)

    async def test_an_entry_without_a_moment_is_cached_now_by_the_servers_clock(self, uow: UnitOfWork) -> None:
        await uow.authors.upsert(author())
        assert await uow.authors.find_author(REPO, "ada", max_age=timedelta(0)) is not None

    async def test_what_was_read_before_is_brought_up_to_date_when_it_is_read_again(self, uow: UnitOfWork) -> None:
        await uow.authors.upsert(author())
        before = await uow.authors.find_author(REPO, "ada")
        await uow.authors.upsert(author(tier=AuthorTier.CORE))
        after = await uow.authors.find_author(REPO, "ada")
        assert after is not None
        assert after is before
        assert after.tier is AuthorTier.CORE

    async def test_an_entry_older_than_asked_for_is_not_found(self, uow: UnitOfWork) -> None:
        await uow.authors.upsert(author(cached_at=ago(hours=24, seconds=5)))
        await uow.authors.upsert(author(author_login="bob", cached_at=ago(hours=23, minutes=59)))
        assert await uow.authors.find_author(REPO, "ada") is None
        assert await uow.authors.find_author(REPO, "ada", max_age=timedelta(hours=25)) is not None
        assert await uow.authors.find_author(REPO, "bob") is not None
        assert await uow.authors.find_author("acme/web", "bob") is None
        assert await uow.authors.find_author(REPO, "eve") is None

    @pytest.mark.parametrize(
        ("field", "given"),
        [
            ("repo", {"repo": ""}),
            ("login", {"login": ""}),
            ("max_age", {"max_age": timedelta(seconds=-1)}),
            ("max_age", {"max_age": timedelta.max}),
        ],
    )
    async def test_empty_names_and_ages_that_are_none_are_refused(self, uow: UnitOfWork, field: str, given: dict[str, Any]) -> None:
        with pytest.raises(InvalidInput) as refused:
            await uow.authors.find_author(**{"repo": REPO, "login": "ada", **given})
        assert refused.value.field == field
        assert await uow.authors.count() == 0

    async def test_purging_deletes_what_was_cached_longer_ago(self, database: Database) -> None:
        async with database.unit_of_work() as uow:
            await uow.authors.upsert(author(cached_at=ago(days=7, seconds=5)))
            await uow.authors.upsert(author(author_login="bob", cached_at=ago(days=6, hours=23)))
            await uow.commit()
        async with database.unit_of_work(tenant="other") as uow:
            await uow.authors.upsert(author(cached_at=ago(days=100)))
            await uow.commit()
        async with database.unit_of_work() as uow:
            assert await uow.authors.purge() == 1
            assert await uow.authors.find_author(REPO, "bob", max_age=timedelta(days=7)) is not None
            assert await uow.authors.purge(days=0.5) == 1
            await uow.commit()
        async with database.reader(tenant="other") as view:
            assert await view.authors.count() == 1

    @pytest.mark.parametrize("days", [-1, float("nan"), float("inf"), 1e300])
    async def test_purging_by_an_age_that_is_none_is_refused(self, uow: UnitOfWork, days: float) -> None:
        with pytest.raises(InvalidInput) as refused:
            await uow.authors.purge(days=days)
        assert refused.value.field == "days"

    async def test_an_entry_of_another_tenant_is_refused(self, uow: UnitOfWork) -> None:
        with pytest.raises(TenantMismatch):
            await uow.authors.upsert(author(tenant="other"))

    async def test_many_who_learn_of_one_author_at_once_leave_one_entry(self, database: Database) -> None:
        async def learn(tier: AuthorTier) -> None:
            async with database.unit_of_work() as uow:
                await uow.authors.upsert(author(tier=tier))
                await uow.commit()

        await asyncio.gather(*(learn(tier) for tier in [*AuthorTier] * 4))
        async with database.reader() as view:
            assert await view.authors.count() == 1


class TestDependencyBumps:
    async def test_the_first_of_a_pull_request_wins_and_the_caller_is_told(self, database: Database) -> None:
        first = bump(1, new_version="1.0")
        async with database.unit_of_work() as uow:
            assert await uow.dependency_bumps.record(first)
            assert not await uow.dependency_bumps.record(bump(1, new_version="2.0"))
            assert await uow.dependency_bumps.record(bump(1, repo="acme/web"))
            await uow.commit()
        async with database.unit_of_work(tenant="other") as uow:
            assert await uow.dependency_bumps.record(bump(1))
        async with database.reader() as view:
            [kept] = await view.dependency_bumps.history(REPO, "left-pad")
        assert (kept.id, kept.new_version) == (first.id, "1.0")

    async def test_one_of_many_who_record_at_once_is_the_first(self, database: Database) -> None:
        async def record() -> bool:
            async with database.unit_of_work() as uow:
                written = await uow.dependency_bumps.record(bump(1))
                await uow.commit()
                return written

        assert sum(await asyncio.gather(*(record() for _ in range(10)))) == 1

    async def test_all_that_was_recorded_is_read_back(self, database: Database) -> None:
        told = bump(
            1, merged_at=MOMENT, signals={"labels": ["deps"]}, merge_confidence_rationale=["tests pass"], is_security_bump=True
        )
        async with database.unit_of_work() as uow:
            await uow.dependency_bumps.record(told)
            await uow.commit()
        async with database.reader() as view:
            [kept] = await view.dependency_bumps.history(REPO, "left-pad")
        assert kept.model_dump(exclude={"created_at"}) == told.model_dump(exclude={"created_at"})
        assert kept.created_at is not None

    async def test_history_has_the_latest_merge_first_and_those_without_a_date_last_ties_by_id(self, uow: UnitOfWork) -> None:
        dates = [None, MOMENT, MOMENT + timedelta(days=1), MOMENT, None]
        bumps = [bump(number, merged_at=date) for number, date in enumerate(dates, start=1)]
        await uow.dependency_bumps.add_many(bumps)
        await uow.dependency_bumps.record(bump(9, package_name="right-pad"))
        history = await uow.dependency_bumps.history(REPO, "left-pad")
        assert [one.pr_number for one in history] == [3, 4, 2, 5, 1]
        assert [one.pr_number for one in await uow.dependency_bumps.history(REPO, "left-pad", limit=2)] == [3, 4]
        assert await uow.dependency_bumps.history("acme/web", "left-pad") == []
