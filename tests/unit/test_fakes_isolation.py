"""Units of work in memory: visibility, locks, and rollback."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from domain import (
    AlreadyExists,
    Category,
    Conflict,
    GlobalPattern,
    KnowledgeChunk,
    LockTimeout,
    NotLoaded,
    ReferenceViolated,
    Review,
    Severity,
    TenantMismatch,
    TransactionAborted,
    UnitOfWorkClosed,
    UnitOfWorkError,
    where,
)
from domain.entities.learning import ConfidenceBand
from repositories.fakes import FakeDatabase, FakeUnitOfWork
from tests.contract.suites.samples import finding, review


@pytest.fixture
def database() -> FakeDatabase:
    return FakeDatabase(dimensions=3, lock_timeout=30)


def chunk(name: str = "a", **values: Any) -> KnowledgeChunk:
    return KnowledgeChunk(
        **{"chunk_id": name, "source": "a.md", "source_type": "doc", "content": "text", **values}
    )


async def saved(database: FakeDatabase, *entities: Any) -> None:
    async with database.unit_of_work() as uow:
        for entity in entities:
            kinds: dict[Any, Any] = {Review: uow.reviews, KnowledgeChunk: uow.knowledge}
            kinds[type(entity)].add(entity)
        await uow.commit()


async def turns(number: int = 20) -> None:
    for _ in range(number):
        await asyncio.sleep(0)


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


class TestLocks:
    async def test_the_second_to_write_a_row_waits_and_then_writes(
        self, database: FakeDatabase
    ) -> None:
        await saved(database, of := review())

        async def change(uow: FakeUnitOfWork, **values: str) -> None:
            row = await uow.reviews.get(of.id)
            for name, value in values.items():
                setattr(row, name, value)
            await uow.flush()

        async def second() -> None:
            async with database.unit_of_work() as uow:
                await change(uow, conclusion="second")
                await uow.commit()

        async with database.unit_of_work() as first:
            await change(first, conclusion="first", model="opus")
            waiting = asyncio.create_task(second())
            await turns()
            assert not waiting.done()
            await first.commit()
        await waiting
        async with database.reader() as view:
            row = await view.reviews.get(of.id)
            assert (row.conclusion, row.model) == ("second", "opus")

    @pytest.mark.parametrize("commits", [True, False])
    async def test_the_second_to_write_a_key_waits_for_the_first_to_decide(
        self, database: FakeDatabase, commits: bool
    ) -> None:
        async def second() -> bool:
            async with database.unit_of_work() as uow:
                uow.knowledge.add(chunk("same"))
                try:
                    await uow.commit()
                except AlreadyExists:
                    return False
                return True

        async with database.unit_of_work() as first:
            await first.knowledge.add_many([chunk("same")])
            waiting = asyncio.create_task(second())
            await turns()
            assert not waiting.done()
            await (first.commit() if commits else first.rollback())
        assert await waiting is not commits

    async def test_a_key_that_is_being_deleted_may_come_back(self, database: FakeDatabase) -> None:
        await saved(database, chunk("same"))

        async def second() -> None:
            await saved(database, chunk("same", content="new"))

        async with database.unit_of_work() as first:
            await first.knowledge.delete_chunks(["same"])
            waiting = asyncio.create_task(second())
            await turns()
            assert not waiting.done()
            await first.commit()
        await waiting

    async def test_waiting_ends_in_a_timeout(self) -> None:
        database = FakeDatabase(lock_timeout=0.05)
        async with database.unit_of_work() as first:
            await first.knowledge.add_many([chunk("same")])
            with pytest.raises(LockTimeout):
                await asyncio.create_task(saved(database, chunk("same")))

    async def test_a_task_that_would_wait_for_itself_fails_at_once(self) -> None:
        database = FakeDatabase(lock_timeout=3_600)
        async with database.unit_of_work() as first, database.unit_of_work() as second:
            await first.knowledge.add_many([chunk("same")])
            with pytest.raises(LockTimeout):
                await second.knowledge.add_many([chunk("same")])

    async def test_two_that_wait_for_each_other_are_a_conflict_for_one(self) -> None:
        database = FakeDatabase(lock_timeout=3_600)

        async def write(first: str, second: str) -> bool:
            async with database.unit_of_work() as uow:
                await uow.knowledge.add_many([chunk(first)])
                await turns()
                try:
                    await uow.knowledge.add_many([chunk(second)])
                except Conflict:
                    return False
                await uow.commit()
                return True

        assert sorted(await asyncio.gather(write("a", "b"), write("b", "a"))) == [False, True]

    async def test_a_parent_with_a_new_child_cannot_be_deleted_before_the_child_is_decided(
        self, database: FakeDatabase
    ) -> None:
        await saved(database, of := review())

        async def delete() -> bool:
            async with database.unit_of_work() as uow:
                deleted = await uow.reviews.delete(of.id)
                await uow.commit()
                return deleted

        async with database.unit_of_work() as first:
            await first.findings.add_many([finding(of)])
            waiting = asyncio.create_task(delete())
            await turns()
            assert not waiting.done()
            await first.commit()
        assert await waiting
        async with database.reader() as view:
            assert await view.findings.count() == 0

    async def test_a_parent_that_is_not_committed_is_not_there_for_others(
        self, database: FakeDatabase
    ) -> None:
        async with database.unit_of_work() as first, database.unit_of_work() as second:
            of = first.reviews.add(review())
            await first.flush()
            with pytest.raises(ReferenceViolated):
                await second.findings.add_many([finding(of)])

    async def test_a_savepoint_that_is_undone_lets_go_of_its_locks(
        self, database: FakeDatabase
    ) -> None:
        async with database.unit_of_work() as first:
            with pytest.raises(RuntimeError):
                async with first.savepoint():
                    await first.knowledge.add_many([chunk("same")])
                    raise RuntimeError
            await saved(database, chunk("same"))

    async def test_counts_of_concurrent_callers_all_count(self, database: FakeDatabase) -> None:
        async def count() -> None:
            async with database.unit_of_work() as uow:
                kind: dict[str, Any] = {
                    "severity": "minor",
                    "category": "style",
                    "confidence_band": "low",
                }
                await uow.patterns.record(GlobalPattern(**kind, pattern_fingerprint="f", count=1))
                await turns(3)
                await uow.commit()

        await asyncio.gather(*(count() for _ in range(16)))
        async with database.reader() as view:
            pattern = await view.patterns.lookup(
                Severity.MINOR, Category.STYLE, ConfidenceBand.LOW, "f"
            )
            assert pattern is not None
            assert pattern.count == 16


class TestSavepoints:
    async def test_an_error_undoes_the_savepoint_alone_and_sets_objects_back(
        self, database: FakeDatabase
    ) -> None:
        async with database.unit_of_work() as uow:
            entity = uow.reviews.add(review())
            with pytest.raises(AlreadyExists):
                async with uow.savepoint():
                    entity.conclusion = "undone"
                    uow.reviews.add(review())
                    await uow.reviews.add_many([review(id=entity.id)])
            assert entity.conclusion == "unknown"
            await uow.commit()
        async with database.reader() as view:
            assert [row.id for row in await view.reviews.list()] == [entity.id]

    async def test_a_swallowed_error_is_raised_at_the_end_of_the_savepoint(
        self, database: FakeDatabase
    ) -> None:
        async with database.unit_of_work() as uow:
            entity = uow.reviews.add(review())
            with pytest.raises(TransactionAborted):
                async with uow.savepoint():
                    with pytest.raises(AlreadyExists):
                        await uow.reviews.add_many([review(id=entity.id)])
            await uow.commit()
        async with database.reader() as view:
            assert await view.reviews.count() == 1

    async def test_savepoints_nest(self, database: FakeDatabase) -> None:
        async with database.unit_of_work() as uow:
            async with uow.savepoint():
                uow.reviews.add(review(repo="kept"))
                with pytest.raises(RuntimeError):
                    async with uow.savepoint():
                        uow.reviews.add(review(repo="undone"))
                        await uow.flush()
                        raise RuntimeError
            await uow.commit()
        async with database.reader() as view:
            assert [row.repo for row in await view.reviews.list()] == ["kept"]

    async def test_a_commit_inside_a_savepoint_is_refused(self, database: FakeDatabase) -> None:
        async with database.unit_of_work() as uow:
            async with uow.savepoint():
                with pytest.raises(UnitOfWorkError):
                    await uow.commit()
            await uow.commit()


class TestEnds:
    async def test_a_failed_statement_poisons_the_unit_of_work(
        self, database: FakeDatabase
    ) -> None:
        async with database.unit_of_work() as uow:
            entity = uow.reviews.add(review())
            await uow.flush()
            with pytest.raises(AlreadyExists):
                await uow.reviews.add_many([review(id=entity.id)])
            with pytest.raises(TransactionAborted):
                await uow.reviews.count()
            with pytest.raises(TransactionAborted):
                await uow.commit()
        async with database.reader() as view:
            assert await view.reviews.count() == 0

    async def test_what_a_poisoned_unit_of_work_locked_is_free(
        self, database: FakeDatabase
    ) -> None:
        async with database.unit_of_work() as uow:
            await uow.knowledge.add_many([chunk("same")])
            with pytest.raises(ReferenceViolated):
                await uow.findings.add_many([finding(review())])
            await saved(database, chunk("same"))

    @pytest.mark.parametrize("ending", ["commit", "rollback"])
    async def test_an_ended_unit_of_work_is_closed(
        self, database: FakeDatabase, ending: str
    ) -> None:
        uow = database.unit_of_work()
        with pytest.raises(UnitOfWorkClosed):
            uow.reviews.add(review())
        async with uow:
            await getattr(uow, ending)()
            for used in (uow.reviews.count, uow.commit, uow.rollback, uow.flush):
                with pytest.raises(UnitOfWorkClosed):
                    await used()
        with pytest.raises(UnitOfWorkClosed):
            async with uow:
                pass

    async def test_a_commit_whose_task_is_cancelled_has_happened(
        self, database: FakeDatabase
    ) -> None:
        async def work() -> None:
            async with database.unit_of_work() as uow:
                uow.reviews.add(review())
                await uow.flush()
                task = asyncio.current_task()
                assert task is not None
                task.cancel()
                await uow.commit()

        with pytest.raises(asyncio.CancelledError):
            await asyncio.create_task(work())
        async with database.reader() as view:
            assert await view.reviews.count() == 1

    async def test_who_is_cancelled_while_waiting_leaves_nothing_behind(
        self, database: FakeDatabase
    ) -> None:
        async with database.unit_of_work() as first:
            await first.knowledge.add_many([chunk("same")])
            waiting = asyncio.create_task(saved(database, chunk("other"), chunk("same")))
            await turns()
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            await first.commit()
        await saved(database, chunk("other"))

    def test_a_reader_has_nothing_to_write_with(self, database: FakeDatabase) -> None:
        view = database.reader()
        assert not [
            name for name in ("commit", "rollback", "flush", "savepoint") if hasattr(view, name)
        ]
        for reader in (view.knowledge, view.reviews, view.memories, view.runs, view.telemetry):
            assert not [
                name
                for name in ("add", "add_many", "delete", "write", "claim", "record", "purge")
                if hasattr(reader, name)
            ]


class TestLedger:
    async def test_a_commit_is_remembered_where_it_was_asked_for(
        self, database: FakeDatabase
    ) -> None:
        operation_id = uuid4()
        for commits in (False, True):
            assert not await database.outcome(operation_id)
            async with database.unit_of_work(operation_id=operation_id) as uow:
                uow.reviews.add(review())
                if commits:
                    await uow.commit()
        assert await database.outcome(operation_id)
        assert not await database.outcome(operation_id, tenant="other")

    async def test_the_same_operation_does_not_happen_twice(self, database: FakeDatabase) -> None:
        operation_id = uuid4()
        async with database.unit_of_work(operation_id=operation_id) as uow:
            await uow.commit()
        async with database.unit_of_work(operation_id=operation_id) as uow:
            uow.reviews.add(review())
            with pytest.raises(AlreadyExists) as raised:
                await uow.commit()
        assert raised.value.constraint == "pk_committed_operations"


class TestRun:
    async def test_work_is_committed_unless_it_did_that_itself(
        self, database: FakeDatabase
    ) -> None:
        async def work(uow: FakeUnitOfWork) -> int:
            uow.reviews.add(review())
            if await uow.reviews.count() == 2:
                await uow.commit()
                return 2
            return 1

        assert [await database.run(work), await database.run(work)] == [1, 2]

    async def test_what_is_safe_to_retry_is_run_again_and_nothing_else(
        self, database: FakeDatabase
    ) -> None:
        attempts: list[int] = []

        async def work(uow: FakeUnitOfWork) -> None:
            attempts.append(len(attempts))
            uow.reviews.add(review())
            await uow.flush()
            if len(attempts) < 3:
                raise Conflict("try again")

        await database.run(work)
        assert len(attempts) == 3
        with pytest.raises(Conflict):
            attempts.clear()
            await database.run(work, attempts=2)
        async with database.reader() as view:
            assert await view.reviews.count() == 1
