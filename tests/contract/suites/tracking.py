"""The contract of tracking: a unit of work watches entities that it added or read."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from domain import AlreadyExists, Conflict, Review, RunStatus, UnitOfWorkError, where
from tests.contract.suites.kinds import write
from tests.contract.suites.samples import chunk, finding, review, run, vectors_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.contract.suites.store import Store


class ReaddingContract:
    """An entity that was read or committed before updates its row; a new one is inserted."""

    @pytest.mark.parametrize(
        "way",
        ["added", "added in bulk", "read", "read and committed", "read by a reader", "listed"],
    )
    async def test_a_stored_entity_updates_its_row(self, store: Store, way: str) -> None:
        stored = await _stored(store, way)
        stored.model = "other"
        async with store.unit_of_work() as uow:
            assert uow.reviews.add(stored) is stored
            assert uow.reviews.add(stored) is stored, "adding it twice changes nothing"
            stored.conclusion = "success"
            await uow.commit()
        async with store.reader() as view:
            row = await view.reviews.get(stored.id)
            assert (row.model, row.conclusion, row.repo) == ("other", "success", stored.repo)
            assert row.created_at is not None
            assert await view.reviews.count() == 1

    async def test_a_new_object_with_an_existing_id_is_refused(self, store: Store) -> None:
        stored = await _stored(store, "read by a reader")
        for new in (stored.model_copy(), review(id=stored.id)):
            async with store.unit_of_work() as uow:
                uow.reviews.add(new)
                with pytest.raises(AlreadyExists):
                    await uow.flush()
        async with store.unit_of_work() as uow:
            with pytest.raises(AlreadyExists):
                await uow.reviews.add_many([stored])

    async def test_an_entity_whose_insert_was_not_committed_is_new(self, store: Store) -> None:
        one, many = review(), review()
        async with store.unit_of_work() as uow:
            uow.reviews.add(one)
            await uow.reviews.add_many([many])
        async with store.unit_of_work() as uow:
            uow.reviews.add(one)
            uow.reviews.add(many)
            await uow.commit()
        async with store.reader() as view:
            assert await view.reviews.count() == 2

    async def test_a_stored_entity_whose_row_was_deleted_is_a_conflict(self, store: Store) -> None:
        stored = await _stored(store, "read by a reader")
        await store.run(lambda uow: uow.reviews.delete(stored.id))
        async with store.unit_of_work() as uow:
            uow.reviews.add(stored)
            with pytest.raises(Conflict):
                await uow.commit()

    async def test_an_entity_that_another_open_unit_of_work_tracks_is_refused(
        self, store: Store
    ) -> None:
        stored = await _stored(store, "added")
        async with store.unit_of_work() as first, store.unit_of_work() as second:
            for tracked in (first.reviews.add(review()), await first.reviews.get(stored.id)):
                with pytest.raises(UnitOfWorkError, match="another open unit of work"):
                    second.reviews.add(tracked)
            assert await second.reviews.count() == 1, "the unit of work can still be used"
            await first.commit()
            added = second.reviews.add(tracked)
            added.model = "other"
            await second.commit()
        async with store.reader() as view:
            assert (await view.reviews.get(stored.id)).model == "other"

    async def test_a_second_object_of_a_tracked_row_is_refused(self, store: Store) -> None:
        stored = await _stored(store, "read by a reader")
        async with store.unit_of_work() as uow:
            tracked = await uow.reviews.get(stored.id)
            with pytest.raises(UnitOfWorkError, match="another object of the same row"):
                uow.reviews.add(stored)
            tracked.model = "other"
            await uow.commit()
        async with store.reader() as view:
            assert (await view.reviews.get(stored.id)).model == "other"

    async def test_an_embedding_that_was_not_loaded_and_what_operations_change_stay(
        self, store: Store
    ) -> None:
        vector = await vectors_of(store)
        passage, state = chunk("a", embedding=vector(1.0)), run()
        await write(store, passage, state)
        async with store.reader() as view:
            read = await view.knowledge.get(passage.id)
            before = await view.runs.get(state.id)
        await store.run(lambda uow: uow.runs.complete(state.run_key, state.attempt))
        read.title, before.action = "Title", "other"
        async with store.unit_of_work() as uow:
            uow.knowledge.add(read)
            uow.runs.add(before)
            await uow.commit()
        async with store.reader() as view:
            row = await view.knowledge.get(passage.id, with_embedding=True)
            after = await view.runs.get(state.id)
        assert (row.title, row.embedding) == ("Title", vector(1.0))
        assert (after.action, after.status) == ("other", RunStatus.COMPLETED)
        assert after.completed_at is not None

    @pytest.mark.parametrize("way", ["added", "flushed", "read", "read by a reader"])
    async def test_what_only_operations_change_is_not_written_from_outside(
        self, store: Store, way: str
    ) -> None:
        state = run()
        async with store.unit_of_work() as uow:
            uow.runs.add(state)
            if way == "flushed":
                await uow.flush()
            await uow.commit()
        if way.startswith("read"):
            opened = store.reader() if way == "read by a reader" else store.unit_of_work()
            async with opened as view:
                state = await view.runs.get(state.id)
        claimed = datetime(2020, 1, 1, tzinfo=UTC)
        state.action, state.claimed_at, state.created_at = "other", claimed, None
        async with store.unit_of_work() as uow:
            uow.runs.add(state)
            await uow.commit()
        async with store.reader() as view:
            row = await view.runs.get(state.id)
        assert row.action == "other"
        assert row.claimed_at != claimed
        assert row.created_at is not None


async def _stored(store: Store, way: str) -> Review:
    """Return a review that was written or read in this way."""
    of = review()
    async with store.unit_of_work() as uow:
        if way == "added in bulk":
            await uow.reviews.add_many([of])
        else:
            uow.reviews.add(of)
        await uow.commit()
    if way.startswith("added"):
        return of
    if way == "read by a reader":
        async with store.reader() as view:
            return await view.reviews.get(of.id)
    async with store.unit_of_work() as uow:
        read = (await uow.reviews.list())[0] if way == "listed" else await uow.reviews.get(of.id)
        if way == "read and committed":
            await uow.commit()
    return read


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
            row = await view.reviews.get(of.id)
        assert (row.conclusion, row.config_snapshot) == ("approved", {"deep": [1, {"a": None}]})

    async def test_what_a_reader_returns_is_not_watched(self, store: Store) -> None:
        of = review()
        await write(store, of)
        async with store.reader() as view:
            (await view.reviews.get(of.id)).conclusion = "approved"
        async with store.reader() as view:
            assert (await view.reviews.get(of.id)).conclusion == "unknown"

    async def test_changes_after_the_end_are_not_tracked(self, store: Store) -> None:
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
        ("gone", "duplicate", "also", "error"),
        [(0, 1, (), Conflict), (1, 0, (), AlreadyExists), (0, 2, (1,), AlreadyExists)],
        ids=[
            "the missing row first",
            "the missing row second",
            "the missing row among several that are written together",
        ],
    )
    async def test_a_flush_with_two_failures_raises_the_first_in_the_order_of_keys(
        self, store: Store, gone: int, duplicate: int, also: Sequence[int], error: type[Exception]
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
            read[chunks[duplicate].id].chunk_id = "taken"
            with pytest.raises(error):
                await uow.flush()

    async def test_deleting_a_row_deletes_what_belongs_to_it(self, store: Store) -> None:
        async with store.unit_of_work() as uow:
            of, other = uow.reviews.add(review()), uow.reviews.add(review())
            uow.findings.add(finding(of))
            child = uow.findings.add(finding(other))
            assert await uow.reviews.delete(of.id)
            assert [one.id for one in await uow.findings.list()] == [child.id]
            await uow.commit()
        async with store.reader() as view:
            assert (await view.reviews.count(), await view.findings.count()) == (1, 1)
