"""The rows that a unit of work in memory sees, and the entities that it tracks."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from domain import Conflict, NotLoaded, TenantMismatch, where
from repositories.fakes import FakeDatabase
from tests.contract.suites.samples import finding, review
from tests.unit.fakes.support import chunk, saved


class TestVisibility:
    async def test_what_is_not_committed_is_seen_by_its_own_unit_of_work_alone(
        self, database: FakeDatabase
    ) -> None:
        async with (
            database.unit_of_work() as one,
            database.unit_of_work() as other,
            database.reader() as view,
        ):
            one.reviews.add(review())
            assert (
                await one.reviews.count(),
                await other.reviews.count(),
                await view.reviews.count(),
            ) == (1, 0, 0)
            await one.commit()
            assert (await other.reviews.count(), await view.reviews.count()) == (1, 1)

    @pytest.mark.parametrize("ending", ["left", "rolled back", "failed"])
    async def test_what_is_not_committed_is_discarded(
        self, database: FakeDatabase, ending: str
    ) -> None:
        async def work() -> None:
            async with database.unit_of_work() as uow:
                uow.reviews.add(review())
                await uow.flush()
                if ending == "rolled back":
                    await uow.rollback()
                if ending == "failed":
                    raise RuntimeError(ending)

        if ending == "failed":
            with pytest.raises(RuntimeError):
                await work()
        else:
            await work()
        async with database.reader() as view:
            assert await view.reviews.count() == 0

    async def test_a_row_that_was_deleted_is_gone_for_its_own_unit_of_work_first(
        self, database: FakeDatabase
    ) -> None:
        await saved(database, of := review())
        async with database.unit_of_work() as one, database.reader() as view:
            assert await one.reviews.delete(of.id)
            assert await one.reviews.find(of.id) is None
            assert await view.reviews.find(of.id) is not None
            await one.commit()
            assert await view.reviews.find(of.id) is None

    async def test_objects_are_copied_in_and_out(self, database: FakeDatabase) -> None:
        entity = chunk(embedding=[1, 0, 0], metadata_={"tags": ["a"]})
        await saved(database, entity)
        entity.content = "changed after the commit"
        async with database.reader() as view:
            first, second = (
                await view.knowledge.get(entity.id),
                await view.knowledge.get(entity.id, with_embedding=True),
            )
            assert first is not second
            assert first.content == second.content == "text"
            assert second.embedding is not None
            second.embedding.to_numpy().setflags(write=True)
            second.embedding.to_numpy()[0] = 9
            again = await view.knowledge.get(entity.id, with_embedding=True)
            assert again.embedding is not None
            assert again.embedding.to_list() == [1, 0, 0]
            with pytest.raises(NotLoaded):
                _ = first.embedding

    async def test_others_get_their_turn_at_every_statement(self, database: FakeDatabase) -> None:
        order: list[str] = []

        async def ask(name: str) -> None:
            async with database.reader() as view:
                for _ in range(3):
                    order.append(name)
                    await view.reviews.count()

        await asyncio.gather(ask("a"), ask("b"))
        assert order == ["a", "b"] * 3


class TestTracking:
    async def test_the_same_row_is_the_same_object_and_its_changes_are_written(
        self, database: FakeDatabase
    ) -> None:
        await saved(database, of := review())
        async with database.unit_of_work() as uow:
            row = await uow.reviews.get(of.id)
            assert (await uow.reviews.list(where("repo").equals("acme/api")))[0] is row
            row.conclusion = "approved"
            assert await uow.reviews.count(where("conclusion").equals("approved")) == 1
            await uow.commit()
        async with database.reader() as view:
            assert (await view.reviews.get(of.id)).conclusion == "approved"

    async def test_a_read_brings_a_tracked_object_up_to_date(self, database: FakeDatabase) -> None:
        await saved(database, of := review())
        async with database.unit_of_work() as uow:
            mine = await uow.reviews.get(of.id)
            async with database.unit_of_work() as other:
                (await other.reviews.get(of.id)).conclusion = "approved"
                await other.commit()
            assert mine.conclusion == "unknown"
            assert await uow.reviews.get(of.id) is mine
            assert mine.conclusion == "approved"

    async def test_only_what_was_assigned_is_written(self, database: FakeDatabase) -> None:
        await saved(database, of := review())
        async with database.unit_of_work() as uow:
            mine = await uow.reviews.get(of.id)
            async with database.unit_of_work() as other:
                (await other.reviews.get(of.id)).conclusion = "approved"
                await other.commit()
            mine.model = "opus"
            await uow.commit()
        async with database.reader() as view:
            row = await view.reviews.get(of.id)
            assert (row.conclusion, row.model) == ("approved", "opus")

    async def test_a_change_of_a_row_that_another_deleted_is_a_conflict(
        self, database: FakeDatabase
    ) -> None:
        await saved(database, of := review())
        async with database.unit_of_work() as uow:
            mine = await uow.reviews.get(of.id)
            async with database.unit_of_work() as other:
                await other.reviews.delete(of.id)
                await other.commit()
            mine.model = "opus"
            with pytest.raises(Conflict):
                await uow.commit()

    async def test_an_entity_is_stamped_with_tenant_and_moment(self) -> None:
        now = datetime(2026, 1, 2, tzinfo=UTC)
        moments = iter([now, now, now + timedelta(hours=1)])
        async with FakeDatabase(clock=lambda: next(moments)).unit_of_work(tenant="acme") as uow:
            one = uow.reviews.add(review())
            assert one.tenant == "acme"
            await uow.flush()
            other = uow.reviews.add(review())
            await uow.commit()
            assert one.created_at == other.created_at == now

    async def test_an_entity_of_another_tenant_is_refused_and_poisons_nothing(
        self, database: FakeDatabase
    ) -> None:
        async with database.unit_of_work(tenant="acme") as uow:
            with pytest.raises(TenantMismatch):
                uow.reviews.add(review(tenant="other"))
            with pytest.raises(TenantMismatch):
                await uow.reviews.add_many([review(), review(tenant="other")])
            await uow.commit()

    async def test_parents_are_written_before_their_children(self, database: FakeDatabase) -> None:
        async with database.unit_of_work() as uow:
            of = review()
            uow.findings.add(finding(of))
            uow.reviews.add(of)
            await uow.commit()
        async with database.reader() as view:
            assert await view.findings.count(where("review_id").equals(of.id)) == 1
