"""The cache of authors."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from domain import AuthorTier, InvalidInput
from tests.contract.suites.kinds import write
from tests.contract.suites.runs import DAY, EDGE, HOUR, ago
from tests.contract.suites.samples import MOMENT, REPO, UNICODE, author

if TYPE_CHECKING:
    from tests.contract.suites.store import Store


class AuthorsContract:
    """An author is upserted, and read only while fresh."""

    async def test_an_author_is_replaced_but_for_id_and_the_moment_of_making(
        self, store: Store
    ) -> None:
        first = author(
            "ada", tier=AuthorTier.FIRST_TIME, pr_count=1, created_at=MOMENT, cached_at=ago(HOUR)
        )
        later = author("ada", tier=AuthorTier.CORE, author_association=UNICODE)
        for one in (first, later):
            async with store.unit_of_work() as uow:
                await uow.authors.upsert(one)
                await uow.commit()
        async with store.reader() as view:
            row = await view.authors.find_author(REPO, "ada")
            assert await view.authors.count() == 1
        assert row is not None
        assert (row.id, row.created_at) == (first.id, MOMENT)
        assert (row.tier, row.pr_count, row.author_association) == (
            AuthorTier.CORE,
            None,
            UNICODE,
        )
        assert row.cached_at is not None
        assert row.cached_at > ago(EDGE), "without a moment of its own it is cached now"

    async def test_an_author_is_found_while_younger_than_the_age_asked_for(
        self, store: Store
    ) -> None:
        await write(
            store,
            author("fresh", cached_at=ago(DAY - EDGE)),
            author("old", cached_at=ago(DAY + EDGE)),
        )
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

    async def test_what_was_cached_just_now_is_fresh_and_shows_in_what_was_read_before(
        self, store: Store
    ) -> None:
        async with store.unit_of_work() as uow:
            await uow.authors.upsert(author("ada"))
            before = await uow.authors.find_author(REPO, "ada", max_age=timedelta(minutes=1))
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
        old, new = (
            author(cached_at=ago(7 * DAY + EDGE)),
            author(cached_at=ago(7 * DAY - EDGE), created_at=MOMENT),
        )
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
