"""A database that is used from another event loop, or in a forked child.

Refused at once, and nothing of it breaks.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from functools import partial
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING, Any

import pytest

from domain.errors import UnitOfWorkError
from repositories import Database

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from pydantic import SecretStr

    from repositories.testing.servers import TestServer
    from tests.faults.conftest import Effort, Promises

PROMISE = "A wrong event loop or a fork fails at once and does no harm"


@pytest.fixture(scope="module")
def url(servers: dict[int, TestServer]) -> SecretStr:
    return servers[18].clone()


async def call(database: Database) -> int:
    async with database.reader() as view:
        return await view.reviews.count()


async def refused(database: Database) -> float:
    """Return the seconds until the call was refused."""
    began = perf_counter()
    with pytest.raises(UnitOfWorkError):
        await call(database)
    return perf_counter() - began


def test_a_foreign_event_loop_is_refused_and_the_home_loop_continues(
    url: SecretStr, effort: Effort, promises: Promises
) -> None:
    times, database = effort.times(20, 200), Database.from_url(url, pool_size=2, max_overflow=0)
    with asyncio.Runner() as home, asyncio.Runner() as foreign:
        home.run(database.open())
        waits = []
        for _ in range(times):
            waits.append(foreign.run(refused(database)))
            assert home.run(call(database)) == 0
        with pytest.raises(UnitOfWorkError):
            foreign.run(database.close())
        assert home.run(call(database)) == 0, "whoever may not use it may not close it"
        home.run(database.close())
    promises(
        PROMISE,
        f"{times} of {times} calls from another event loop refused, in {1000 * median(waits):.2f} "
        f"ms (median); {times} of {times} "
        "from its own loop answered afterwards",
        control=f"SQLAlchemy and asyncpg alone: {poisoned_without_the_library(url)}",
    )


# In a separate process, because it leaves connections that it cannot close.
WITHOUT_THE_LIBRARY = """
import asyncio, functools, sys
import asyncpg
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

connect = functools.partial(asyncpg.connect, sys.stdin.read())
engine = create_async_engine("postgresql+asyncpg://", async_creator=connect)

async def ask():
    async with engine.connect() as connection:
        await connection.execute(text("SELECT 1"))

with asyncio.Runner() as home, asyncio.Runner() as foreign:
    home.run(ask())
    for runner in (foreign, home):
        try:
            runner.run(ask())
            heard = "nothing"
        except Exception as error:
            heard = type(error).__name__
    print(heard, flush=True)
    import os; os._exit(0)
"""


def poisoned_without_the_library(url: SecretStr) -> str:
    """Say what the home loop hears after a foreign one used the same pool."""
    command = [sys.executable, "-c", WITHOUT_THE_LIBRARY]
    heard = subprocess.run(
        command, input=url.get_secret_value(), capture_output=True, text=True, check=True
    ).stdout.strip()
    assert heard != "nothing", "the control has to fail"
    return f"{heard} from its own loop from then on"


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
async def test_a_forked_child_is_refused_and_its_parent_continues(
    url: SecretStr, effort: Effort, promises: Promises
) -> None:
    times = effort.times(2, 20)
    async with Database.from_url(url, pool_size=2, max_overflow=0) as database:
        for _ in range(times):
            assert await _in_a_child(partial(call, database)) == REFUSED
            assert await call(database) == 0
        assert await _in_a_child(partial(call_of_its_own, url)) == ANSWERED
    promises(
        PROMISE,
        f"{times} of {times} forked children refused, {times} of {times} calls of the parent "
        "answered after them",
        control="a child that opens the database itself is answered",
    )


REFUSED, ANSWERED, BROKEN = range(3)


async def _in_a_child(ask: Callable[[], Coroutine[Any, Any, int]]) -> int:
    """Fork a child that asks, and return what came of it."""
    child = os.fork()
    if child == 0:
        code = BROKEN
        try:
            signal.alarm(10)
            asyncio.run(ask())
            code = ANSWERED
        except UnitOfWorkError:
            code = REFUSED
        finally:
            os._exit(code)
    _, status = await asyncio.to_thread(os.waitpid, child, 0)
    return os.waitstatus_to_exitcode(status)


async def call_of_its_own(url: SecretStr) -> int:
    async with Database.from_url(url) as database:
        return await call(database)
