"""Silent failures raise errors instead.

Examples: a commit after a failed statement, a connection in two processes, a memory leak.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING

import psutil
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession

from domain import AlreadyExists, RecollectError, Review, TransactionAborted, UnitOfWorkError
from repositories import Database
from tests.contract.suites.samples import author
from tests.faults.conftest import Effort, Promises, on_the_newest
from tests.faults.expected import ask, require_sound

if TYPE_CHECKING:
    from pydantic import SecretStr

pytestmark = on_the_newest


async def test_an_error_that_is_swallowed_cannot_be_committed(
    database: Database, effort: Effort, promises: Promises
) -> None:
    times, raised = effort.times(10, 100), 0
    async with database.unit_of_work() as uow:
        await uow.authors.upsert(author("ada"))
        await uow.commit()
    for _ in range(times):
        async with database.unit_of_work() as uow:
            uow.reviews.add(Review(repo="acme/api", pr_number=7))
            await uow.flush()
            with suppress(AlreadyExists):
                await uow.authors.add_many([author("ada")])
            try:
                await uow.commit()
            except TransactionAborted:
                raised += 1
    assert raised == times
    await require_sound(database)

    silent = 0
    for _ in range(times):
        async with AsyncSession(database.engine) as session:
            await session.execute(text("DELETE FROM author_cache"))
            connection = await session.connection()
            with suppress(DBAPIError):
                await connection.execute(text("SELECT 1 / 0"))
            await session.commit()
        silent += 1
    async with database.reader() as view:
        assert await view.authors.count() == 1
    promises(
        "After a failed statement, a commit raises an error",
        f"0 of {times} committed without an error",
        control=f"{silent} of {times} with SQLAlchemy alone",
    )


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
async def test_a_wrong_loop_and_a_fork_are_refused_at_once_and_do_no_harm(
    database_url: SecretStr, effort: Effort, promises: Promises
) -> None:
    times, slowest = effort.times(3, 30), 0.0
    async with Database.from_url(database_url, pool_size=1, max_overflow=0) as database:
        async with database.reader() as view:
            before = await ask(view, "SELECT pg_backend_pid()")
        for _ in range(times):
            seconds = await asyncio.to_thread(asyncio.run, _refused(database))
            slowest = max(slowest, seconds)
            child = os.fork()
            if child == 0:
                code = 1
                try:
                    signal.alarm(10)
                    asyncio.run(_refused(database))
                    code = 0
                finally:
                    os._exit(code)
            _, status = await asyncio.to_thread(os.waitpid, child, 0)
            assert os.waitstatus_to_exitcode(status) == 0
            async with database.reader() as view:
                assert await ask(view, "SELECT pg_backend_pid()") == before
        await require_sound(database)
    poisoned = await asyncio.to_thread(_poisoned_without_the_guard, database_url)
    assert poisoned > 0
    promises(
        "A wrong event loop or a fork fails at once and does no harm",
        f"{2 * times} of {2 * times} refused, within {slowest * 1e3:.1f} ms; the connection "
        "stayed the same",
        control=f"with SQLAlchemy alone {poisoned} of 5 uses in the first loop fail after one in "
        "another",
    )


UNGUARDED = """
import asyncio, sys
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

engine = create_async_engine(sys.argv[1])

async def ask():
    async with engine.connect() as connection:
        await connection.execute(text("SELECT 1"))

def fails(loop):
    try:
        loop.run(ask())
    except Exception:
        return True
    return False

with asyncio.Runner() as home, asyncio.Runner() as foreign:
    home.run(ask())
    fails(foreign)
    print(sum(fails(home) for _ in range(5)), flush=True)
"""


def _poisoned_without_the_guard(url: SecretStr) -> int:
    # In a process of its own: what it leaves behind is the point.
    target = url.get_secret_value().replace("postgresql://", "postgresql+asyncpg://", 1)
    command = [sys.executable, "-W", "ignore", "-c", UNGUARDED, target]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return int(ran.stdout)


async def _refused(database: Database) -> float:
    started = time.perf_counter()
    try:
        async with database.reader() as view:
            await ask(view)
    except UnitOfWorkError:
        return time.perf_counter() - started
    raise AssertionError("it was let in")


async def test_many_units_of_work_leave_no_memory_no_file_and_no_connection_behind(
    database: Database, effort: Effort, promises: Promises
) -> None:
    # Few rounds say nothing of a slope, only of a flood.
    rounds, each, allowed = effort.times(4, 8), effort.times(10, 1000), effort.times(4_000, 200)

    async def work(hoard: list[bytes] | None = None) -> None:
        with suppress(RecollectError):
            async with database.unit_of_work() as uow:
                uow.reviews.add(Review(repo="acme/api", pr_number=7))
                await uow.reviews.count()
                await uow.authors.add_many([author("ada"), author("ada")])
        async with database.unit_of_work() as uow:
            await uow.authors.upsert(author("ada"))
            await uow.commit()
        if hoard is not None:
            hoard.append(
                b"x" * (33 * 2**20 + len(hoard))
            )  # more than is kept for later when it is given back

    kilobytes, files, connections = await _growth(database, work, rounds, each)
    assert kilobytes < allowed
    assert files == 0
    assert connections == 0
    hoard: list[bytes] = []
    leaked, _, _ = await _growth(database, lambda: work(hoard), 4, 1)
    assert leaked > allowed, "a leak would be seen"
    promises(
        "Nothing leaks",
        f"{kilobytes:+,.0f} kB in the last half of {2 * rounds * each:,} units of work; files and "
        "connections constant",
        control=f"{leaked:+,.0f} kB if the test keeps references",
    )


async def _growth(
    database: Database, work: Callable[[], Awaitable[None]], rounds: int, each: int
) -> tuple[float, int, int]:
    """Return the growth of memory (kB), files and connections in the second half of the rounds."""
    process = psutil.Process()
    marks: list[tuple[float, int, int]] = []
    for _ in range(rounds):
        for _ in range(each):
            await work()
        gc.collect()
        marks.append(
            (process.memory_info().rss / 1024, process.num_fds(), database.pool_figures().total)
        )
    middle, end = marks[rounds // 2 - 1], marks[-1]
    return end[0] - middle[0], end[1] - middle[1], end[2] - middle[2]
