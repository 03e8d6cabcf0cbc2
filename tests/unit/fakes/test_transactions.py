"""The ends of units of work in memory: savepoints, errors, outcomes and retries."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import pytest

from domain import (
    AlreadyExists,
    Conflict,
    ReferenceViolated,
    TransactionAborted,
    UnitOfWorkClosed,
    UnitOfWorkError,
)
from repositories.fakes import FakeDatabase, FakeUnitOfWork
from tests.contract.suites.samples import finding, review
from tests.unit.fakes.support import chunk, saved, turns


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
