"""The memory of bulk writes, and writes that meet others, are cancelled or lose the connection."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from sqlalchemy import text

from domain import ConnectionLost, UnitOfWork
from repositories import Database
from tests.contract.suites.samples import chunk, event, memory
from tests.integration.bulk.support import FEW, KEYS
from tests.integration.sessions import blocked


@pytest.fixture
def little_to_collect() -> Iterator[None]:
    """Limit garbage collections to the objects that the test creates."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


async def test_no_more_than_a_batch_is_in_memory(
    database: Database, in_batches: None, little_to_collect: None
) -> None:
    references: list[weakref.ref[Any]] = []
    most = 0

    def made(make: Callable[[int], Any]) -> Iterator[Any]:
        nonlocal most
        for number in range(10 * FEW):
            entity = make(number)
            references.append(weakref.ref(entity))
            yield entity
            del entity
            gc.collect()
            most = max(most, sum(ref() is not None for ref in references))

    async with database.unit_of_work() as uow:
        await uow.knowledge.add_many(made(lambda number: chunk(f"{number}")))
        await uow.knowledge.upsert_many(made(lambda number: chunk(f"{number}")))
        await uow.memories.write_many(made(lambda _: memory()))
        await uow.telemetry.record_many(made(lambda _: event()))
    assert 0 < most <= FEW


WRITES: dict[str, Callable[[UnitOfWork, list[int]], Awaitable[int]]] = {
    "upsert_many of a list": lambda uow, numbers: uow.knowledge.upsert_many(
        [chunk(f"Ä{n}") for n in numbers]
    ),
    "upsert_many": lambda uow, numbers: uow.knowledge.upsert_many(chunk(f"Ä{n}") for n in numbers),
    "write_many": lambda uow, numbers: uow.memories.write_many(
        memory(finding_id=KEYS[n]) for n in numbers
    ),
}


@pytest.mark.parametrize("operation", WRITES)
async def test_writers_of_many_batches_in_any_order_do_not_deadlock(
    database: Database, operation: str, in_batches: None
) -> None:
    forwards, backwards = list(range(12)), list(reversed(range(12)))

    async def run(numbers: list[int]) -> None:
        async with database.unit_of_work() as uow:
            await WRITES[operation](uow, numbers)
            await uow.commit()

    for _ in range(4):
        await asyncio.gather(
            run(forwards), run(backwards), run(forwards[6:] + forwards[:6]), run(backwards[:2])
        )


@asynccontextmanager
async def a_write_that_waits(database: Database) -> AsyncIterator[tuple[asyncio.Task[None], int]]:
    """Lend a task that waits for another's row, and its process in the server.

    The same rows can be written afterwards.
    """
    async with database.unit_of_work() as holder:
        await holder.knowledge.upsert_many([chunk("b")])

        async def waiting() -> None:
            async with database.unit_of_work() as uow:
                await uow.knowledge.add_many([chunk(name) for name in "abc"])

        async with asyncio.timeout(10):
            yield asyncio.create_task(waiting()), await blocked(database)
    assert database.pool_figures().checked_out == 0
    async with database.unit_of_work() as uow:
        assert await uow.knowledge.add_many([chunk(name) for name in "abc"]) == 3


async def test_a_copy_that_is_cancelled_leaves_nothing_and_no_connection_behind(
    database: Database, by_copy: None
) -> None:
    async with a_write_that_waits(database) as (task, _):
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_a_connection_that_ends_during_a_copy_raises_and_is_replaced(
    database: Database, by_copy: None
) -> None:
    async with a_write_that_waits(database) as (task, waiter):
        async with database.engine.connect() as connection:
            await connection.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": waiter})
        with pytest.raises(ConnectionLost):
            await task
