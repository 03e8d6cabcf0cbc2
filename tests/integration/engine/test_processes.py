"""An engine in another event loop, and in a forked process."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text

from domain import errors
from repositories.postgres.engine import create_engine
from repositories.postgres.settings import Settings
from tests.integration.engine.support import on_posix, pid_of

if TYPE_CHECKING:
    from pydantic import SecretStr
    from sqlalchemy.ext.asyncio import AsyncEngine

pytestmark = on_posix


def test_another_event_loop_is_turned_away_and_the_pool_stays_sound(url: SecretStr) -> None:
    engine = create_engine(Settings(url=url))

    async def ask() -> int:
        async with engine.connect() as connection:
            return int((await connection.execute(text("SELECT 1"))).scalar_one())

    with asyncio.Runner() as home, asyncio.Runner() as foreign:
        assert home.run(ask()) == 1
        for attempt in (ask, engine.dispose, ask):
            with pytest.raises(errors.UnitOfWorkError, match="another event loop"):
                foreign.run(attempt())
        assert home.run(ask()) == 1
        home.run(engine.dispose())
        assert foreign.run(ask()) == 1, "a pool that was closed is at home where it is used next"
        foreign.run(engine.dispose())


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
async def test_a_forked_child_is_refused_and_the_parent_continues(engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        before = await pid_of(connection)
    child = os.fork()
    if child == 0:
        code = 2
        try:
            signal.alarm(10)
            code = _child(engine)
        finally:
            os._exit(code)
    _, status = await asyncio.to_thread(os.waitpid, child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    async with engine.connect() as connection:
        assert await pid_of(connection) == before


def _child(engine: AsyncEngine) -> int:
    try:
        asyncio.run(_use(engine))
    except errors.UnitOfWorkError as error:
        return 0 if "before a fork" in str(error) else 1
    return 3


async def _use(engine: AsyncEngine) -> None:
    async with engine.connect():
        pass
