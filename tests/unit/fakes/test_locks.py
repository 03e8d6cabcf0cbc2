"""Units of work in memory that write the same rows: they wait, fail, or both succeed."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from domain import (
    AlreadyExists,
    Category,
    Conflict,
    GlobalPattern,
    LockTimeout,
    ReferenceViolated,
    Severity,
)
from domain.entities.learning import ConfidenceBand
from repositories.fakes import FakeDatabase, FakeUnitOfWork
from tests.contract.suites.samples import finding, review
from tests.unit.fakes.support import chunk, saved, turns


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
