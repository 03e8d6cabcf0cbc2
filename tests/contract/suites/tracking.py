"""What a unit of work watches: the entities that were added to it or read in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from domain import AlreadyExists, Conflict, RunStatus, where
from tests.contract.suites.kinds import write
from tests.contract.suites.samples import chunk, finding, review, run, vectors_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.contract.suites.store import Store


class TrackingContract:
    """A unit of work watches what it read or added; one row is one object."""

    async def test_a_change_to_what_was_read_is_written(self, store: Store) -> None:
        of = review()
        await write(store, of)
        async with store.unit_of_work() as uow:
            [listed] = await uow.reviews.list()
            listed.conclusion = "approved"
            assert listed is await uow.reviews.get(of.id), "a row read twice is one object"
            assert (await uow.reviews.get(of.id)).conclusion == "approved"
            await uow.commit()
        async with store.reader() as view:
            assert (await view.reviews.get(of.id)).conclusion == "approved"

    async def test_a_change_to_what_was_added_is_written(self, store: Store) -> None:
        async with store.unit_of_work() as uow:
            of = uow.reviews.add(review())
            await uow.flush()
            of.conclusion = "approved"
            of.config_snapshot = {"deep": [1, {"a": None}]}
            await uow.commit()
        async with store.reader() as view:
            kept = await view.reviews.get(of.id)
        assert (kept.conclusion, kept.config_snapshot) == ("approved", {"deep": [1, {"a": None}]})

    async def test_what_a_reader_returns_is_not_watched(self, store: Store) -> None:
        of = review()
        await write(store, of)
        async with store.reader() as view:
            (await view.reviews.get(of.id)).conclusion = "approved"
        async with store.reader() as view:
            assert (await view.reviews.get(of.id)).conclusion == "unknown"

    async def test_changes_after_the_end_are_nobodys(self, store: Store) -> None:
        async with store.unit_of_work() as uow:
            of = uow.reviews.add(review())
            await uow.commit()
        of.conclusion = "late"
        async with store.reader() as view:
            assert (await view.reviews.get(of.id)).conclusion == "unknown"

    async def test_a_row_changed_by_an_operation_is_up_to_date_when_it_is_read_again(
        self, store: Store
    ) -> None:
        vector = await vectors_of(store)
        async with store.unit_of_work() as uow:
            added = uow.runs.add(run())
            await uow.runs.complete(added.run_key, added.attempt)
            assert await uow.runs.find_by_key(added.run_key) is added
            assert added.status is RunStatus.COMPLETED
            passage = uow.knowledge.add(chunk("a", "old", embedding=vector(1.0)))
            await uow.knowledge.upsert_many(
                [chunk("a", "new", title="title", embedding=vector(0.0, 1.0))]
            )
            assert await uow.knowledge.get(passage.id) is passage
            assert (passage.content, passage.title, passage.embedding) == (
                "new",
                "title",
                vector(1.0),
            ), "it was not asked for"
            await uow.knowledge.get(passage.id, with_embedding=True)
            assert passage.embedding == vector(0.0, 1.0)

    async def test_a_changed_row_that_someone_else_deleted_is_a_conflict(
        self, store: Store
    ) -> None:
        of = review()
        await write(store, of)
        async with store.unit_of_work() as uow:
            mine = await uow.reviews.get(of.id)
            async with store.unit_of_work() as other:
                assert await other.reviews.delete(of.id)
                await other.commit()
            mine.conclusion = "late"
            with pytest.raises(Conflict):
                await uow.commit()

    async def test_one_of_many_changed_rows_that_someone_else_deleted_is_a_conflict(
        self, store: Store
    ) -> None:
        reviews = [review() for _ in range(5)]
        await write(store, *reviews)
        async with store.unit_of_work() as uow:
            for one in await uow.reviews.list():
                one.conclusion = "late"
            async with store.unit_of_work() as other:
                assert await other.reviews.delete(reviews[2].id)
                await other.commit()
            with pytest.raises(Conflict):
                await uow.commit()
        async with store.reader() as view:
            assert {one.conclusion for one in await view.reviews.list()} == {"unknown"}

    @pytest.mark.parametrize(
        ("gone", "taken", "also", "told"),
        [(0, 1, (), Conflict), (1, 0, (), AlreadyExists), (0, 2, (1,), AlreadyExists)],
        ids=[
            "the missing row first",
            "the missing row second",
            "the missing row among several that are written together",
        ],
    )
    async def test_of_two_failures_of_one_flush_the_first_in_the_order_of_keys_is_told(
        self, store: Store, gone: int, taken: int, also: Sequence[int], told: type[Exception]
    ) -> None:
        chunks = sorted((chunk() for _ in range(3)), key=lambda one: one.id)
        await write(store, *chunks, chunk("taken"))
        async with store.unit_of_work() as uow:
            read = {one.id: await uow.knowledge.get(one.id) for one in reversed(chunks)}
            assert (
                await uow.knowledge.delete_where(where("chunk_id").equals(chunks[gone].chunk_id))
                == 1
            )
            for number in (gone, *also):
                read[chunks[number].id].title = "late"
            read[chunks[taken].id].chunk_id = "taken"
            with pytest.raises(told):
                await uow.flush()

    async def test_deleting_a_row_deletes_what_belongs_to_it(self, store: Store) -> None:
        async with store.unit_of_work() as uow:
            of, other = uow.reviews.add(review()), uow.reviews.add(review())
            uow.findings.add(finding(of))
            kept = uow.findings.add(finding(other))
            assert await uow.reviews.delete(of.id)
            assert [one.id for one in await uow.findings.list()] == [kept.id]
            await uow.commit()
        async with store.reader() as view:
            assert (await view.reviews.count(), await view.findings.count()) == (1, 1)
