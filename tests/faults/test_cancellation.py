"""Tasks that are cancelled at any moment, by asyncio once and by anyio again and again."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING
from uuid import uuid4

import anyio
import asyncpg
import pytest
from sqlalchemy import NullPool, func, select, text
from sqlalchemy.ext.asyncio import create_async_engine

from domain.errors import Conflict
from repositories import Database
from repositories.testing.tables import empty
from tests.faults.pairs import (
    busy,
    rows_by_name,
    settled,
    write_first,
    write_second,
    write_together,
)
from tests.faults.proxy import Message, Proxy, Verdict

if TYPE_CHECKING:
    from pydantic import SecretStr

    from repositories import UnitOfWork
    from repositories.testing.servers import TestServer
    from tests.faults.conftest import Effort, Promises

Work = Callable[[Database, str], Awaitable[None]]
Cancelling = Callable[[Awaitable[None], float], Awaitable[None]]

PROMISE = "A cancelled task leaves no running query and no lost connection"
SIZE, OVERFLOW, AT_ONCE = 3, 1, 6
ENDED_WITHIN = 5
"""Seconds until no statement of a cancelled task is running, and usually much less than one.

The server ignores a cancel request that overtakes its statement. The connection is then closed
after two seconds, and the server notices that within two more.
"""
LONG = text("SELECT pg_sleep(60)")
CANCEL_REQUEST = (80877102).to_bytes(4, "big")


async def by_asyncio(work: Awaitable[None], seconds: float) -> None:
    task = asyncio.ensure_future(work)
    await asyncio.sleep(seconds)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def by_anyio(work: Awaitable[None], seconds: float) -> None:
    with anyio.move_on_after(seconds):
        await work


async def slow_pair(database: Database, name: str) -> None:
    async with database.unit_of_work() as uow:
        await write_first(uow, name)
        await uow._transaction.execute(LONG)
        await write_second(uow, name)
        await uow.commit()


async def slow_read(database: Database, name: str) -> None:
    async with database.reader() as view:
        await view._transaction.rows(select(func.pg_sleep(60)))


async def pair_with_slow_read(database: Database, name: str) -> None:
    async with database.unit_of_work() as uow:
        await write_first(uow, name)
        await uow._transaction.rows(select(func.pg_sleep(60)))
        await write_second(uow, name)
        await uow.commit()


async def nested_pair(database: Database, name: str) -> None:
    async with database.unit_of_work() as uow:
        await write_first(uow, name)
        async with uow.savepoint():
            await write_second(uow, name)
            await asyncio.sleep(0.002)
        await uow.commit()


async def slow_nested_pair(database: Database, name: str) -> None:
    async with database.unit_of_work() as uow:
        await write_first(uow, name)
        async with uow.savepoint():
            await uow._transaction.execute(LONG)
        await write_second(uow, name)
        await uow.commit()


async def retried_pair(database: Database, name: str) -> None:
    tried = 0

    async def work(uow: UnitOfWork) -> None:
        nonlocal tried
        tried += 1
        await write_first(uow, name)
        if tried < 3:
            raise Conflict("once more")
        await write_second(uow, name)

    await database.run(work)


async def streamed(database: Database, name: str) -> None:
    async with database.reader() as view:
        async for _ in view.reviews.stream(batch_size=1):
            await asyncio.sleep(0)
        await view._transaction.execute(LONG)


WORKS: tuple[tuple[Work, int], ...] = (
    (write_together, 8),
    (slow_pair, 3),
    (nested_pair, 3),
    (slow_nested_pair, 2),
    (retried_pair, 2),
    (streamed, 2),
    (slow_read, 2),
    (pair_with_slow_read, 2),
)


async def storm(database: Database, cancelling: Cancelling, times: int) -> None:
    """Begin work of every kind, and cancel each at a moment of its own.

    More at once than the pool has connections.
    """
    chance = random.Random(times)
    works, weights = zip(*WORKS, strict=True)
    left = iter(range(times))

    async def cancel_one_after_another() -> None:
        for number in left:
            (work,) = chance.choices(works, weights)
            with suppress(Conflict):
                await cancelling(work(database, f"acme/{number}"), chance.expovariate(15))

    async with asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(cancel_one_after_another())


@pytest.mark.parametrize("cancelling", [by_asyncio, by_anyio])
async def test_nothing_is_left_running_lost_or_half_written_by_a_cancelled_task(
    server: TestServer, effort: Effort, promises: Promises, cancelling: Cancelling
) -> None:
    # A database of its own: connections of other tests would be counted.
    database_url, times = server.clone(), effort.times(30, 1_000)
    async with (
        Database.from_url(database_url, pool_size=SIZE, max_overflow=OVERFLOW) as database,
        emptied(database),
    ):
        await storm(database, cancelling, times)
        assert (
            database.pool_figures().checked_out
            == database.pool_figures(readers=True).checked_out
            == 0
        )
        running, connected = await settled(
            database, at_most=2 * SIZE
        )  # a pool of units of work and one of readers
        late, _ = await settled(database, at_most=2 * SIZE, within=ENDED_WITHIN)
        written = await rows_by_name(database)
        half = sum(rows != 2 for rows in written.values())
        async with AsyncExitStack() as all_at_once:
            for _ in range(SIZE + OVERFLOW):
                await all_at_once.enter_async_context(database.unit_of_work())
    orphaned, torn = await without_the_library(database_url, effort.times(3, 20))
    assert len(running) <= 1, running  # a cancel request overtakes its statement once in thousands
    assert (late, half) == ([], 0)
    assert connected <= 2 * SIZE
    assert orphaned > 0
    assert torn > 0
    promises(
        PROMISE,
        f"{len(running)} queries running and {connected} of {2 * SIZE} connections 1 s after "
        f"{times:,} cancelled units of work",
        control=f"{orphaned} of {effort.times(3, 20)} queries of SQLAlchemy and asyncpg alone run "
        "on when anyio cancels them",
    )
    promises(
        "No unit of work is half applied",
        f"{half} of {times:,} after a cancellation at a random moment; {len(written):,} were whole",
        control=f"{torn} of {effort.times(3, 20)} without a transaction",
    )


async def test_a_statement_that_its_cancel_request_overtakes_ends_with_its_connection(
    database: Database, database_url: SecretStr
) -> None:
    proxy, waiting, requested, parsed = Proxy(database_url), asyncio.Event(), asyncio.Event(), False

    def hold_the_execution(message: Message) -> Verdict:
        nonlocal parsed
        if message.of_client and message.number == 0 and message.body[:4] == CANCEL_REQUEST:
            requested.set()
        parsed = parsed or (message.kind == "P" and b"pg_sleep" in message.body)
        if not (parsed and message.of_client and message.kind == "B"):
            return Verdict.PASS
        waiting.set()
        return Verdict.HOLD

    async with proxy.database() as behind:
        proxy.judge = hold_the_execution
        task = asyncio.ensure_future(slow_pair(behind, "acme/api"))
        await asyncio.wait_for(waiting.wait(), 5)
        task.cancel()
        await asyncio.wait_for(requested.wait(), 5)
        await asyncio.sleep(0.2)  # the server ignores the request: it executes nothing
        proxy.delayed.set()
        await asyncio.sleep(0.5)
        assert any("pg_sleep" in statement for statement in await busy(database))
        running, _ = await settled(database, at_most=2 * SIZE, within=ENDED_WITHIN)
        with suppress(asyncio.CancelledError):
            await task
    assert running == []
    assert await rows_by_name(database) == {}


async def without_the_library(url: SecretStr, times: int) -> tuple[int, int]:
    """Cancel SQLAlchemy and asyncpg alone; return the running statements and half-written pairs."""
    connect = partial(asyncpg.connect, url.get_secret_value())
    engine = create_async_engine(
        "postgresql+asyncpg://",
        async_creator=connect,
        isolation_level="AUTOCOMMIT",
        poolclass=NullPool,
    )

    async def torn(number: int) -> None:
        async with engine.connect() as connection:
            pair = {"id": uuid4(), "repo": f"acme/{number}"}
            await connection.execute(
                text(
                    "INSERT INTO reviews (tenant, id, repo, pr_number) VALUES ('a', :id, :repo, 1)"
                ),
                pair,
            )
            await connection.execute(LONG)

    async with Database.from_url(url) as database, emptied(database):
        for number in range(times):
            await by_anyio(torn(number), 0.2)
        await asyncio.sleep(0.1)
        state = len(await busy(database)), len(await rows_by_name(database))
        async with database.engine.connect() as connection:
            others = "datname = current_database() AND pid <> pg_backend_pid()"
            await connection.execute(
                text(f"SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE {others}")
            )
    await engine.dispose()
    return state


@asynccontextmanager
async def emptied(database: Database) -> AsyncIterator[None]:
    """Remove the rows of every table, before the block and at its end."""
    await empty(database)
    try:
        yield
    finally:
        await empty(database)
