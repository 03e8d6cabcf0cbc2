"""Servers are killed and restarted while a program uses them."""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass
from functools import partial
from statistics import median
from time import monotonic
from typing import TYPE_CHECKING

import asyncpg
import pytest
import sqlalchemy.exc
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from repositories import Database
from repositories.embedded import EmbeddedServer
from repositories.testing.tables import empty
from tests.conftest import DIMENSIONS
from tests.faults.conftest import FULL
from tests.faults.crashes import Book, Differences, Write, kill_everything, kill_postmaster, writing
from tests.faults.pairs import write_apart, write_together

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from tests.faults.conftest import Effort, Promises

# Whether a page reaches the disk matters when the power fails: a killed process leaves it to the
# system.
SMALL = {"max_connections": "30", "shared_buffers": "16MB", "fsync": "on" if FULL else "off"}
# What is lost is what the server has not written yet: it may take its time.
CARELESS = {**SMALL, "synchronous_commit": "off", "wal_writer_delay": "10s"}
Kill = Callable[[EmbeddedServer], None]


class Mortal:
    """An embedded server that is started again each time it dies or is stopped.

    A program that uses it never leaves.
    """

    def __init__(self, folder: Path, version: int) -> None:
        self.folder, self.version = folder, version
        self._leases = ExitStack()
        self.server = self.start()

    def start(self, settings: Mapping[str, str] = SMALL) -> EmbeddedServer:
        self.server = self._leases.enter_context(
            EmbeddedServer.start(self.folder, version=self.version, settings=settings)
        )
        return self.server

    def restart(self, settings: Mapping[str, str] = SMALL) -> None:
        self.server.stop()
        self.start(settings)

    def close(self) -> None:
        self._leases.close()


Mortals = Callable[[int], Awaitable[Mortal]]


@pytest.fixture(scope="module")
def mortals(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mortals]:
    """Return a server of a version with the schema and PostgreSQL's default durability."""
    servers: dict[int, Mortal] = {}

    async def of(version: int) -> Mortal:
        if version not in servers:
            folder = tmp_path_factory.mktemp("mortal") / "data"
            servers[version] = await asyncio.to_thread(Mortal, folder, version)
            await migrated(servers[version])
        return servers[version]

    yield of
    for mortal in servers.values():
        mortal.close()


async def migrated(mortal: Mortal) -> None:
    async with Database.from_url(mortal.server.url, migrate=True, embedding_dimensions=DIMENSIONS):
        pass


@dataclass(frozen=True)
class Crashed:
    """The reported outcomes, the rows that remain, and the seconds until the next commit."""

    book: Book
    differences: Differences
    since_kill: list[float]
    since_answer: list[float]


async def crash(
    mortal: Mortal,
    kill: Kill,
    times: int,
    settings: Mapping[str, str] = SMALL,
    *,
    write: Write = write_together,
) -> Crashed:
    """Kill the server under its writers so many times, and start it again."""
    chance, book, since_kill, since_answer = random.Random(times), Book(), [], []
    async with Database.from_url(mortal.server.url, pool_size=4, max_overflow=2) as database:
        for _ in range(times):
            async with writing(database, book, write=write):
                await book.commits_again()
                await asyncio.sleep(chance.uniform(0.1, 0.4))
                killed = monotonic()
                kill(mortal.server)
                await asyncio.to_thread(mortal.start, settings)
                answered = monotonic()
                recovered = await book.commits_again()
            since_kill.append(recovered - killed)
            since_answer.append(recovered - answered)
        differences = await book.compared(database)
        await empty(database)
    return Crashed(book, differences, since_kill, since_answer)


async def crash_until(
    shows: Callable[[Differences], bool],
    mortal: Mortal,
    times: int,
    settings: Mapping[str, str] = SMALL,
    *,
    write: Write = write_together,
) -> tuple[int, Crashed]:
    """Kill the server so many times, and more often where that did no harm.

    A kill may come when nothing is under way.
    """
    for often in range(times, times + 10):
        crashed = await crash(mortal, kill_everything, often, settings, write=write)
        if shows(crashed.differences):
            return often, crashed
    pytest.fail("no kill did the harm that was to be seen")


CASES = (
    pytest.param(18, kill_everything, 20, id="PostgreSQL 18, every process"),
    pytest.param(18, kill_postmaster, 20, id="PostgreSQL 18, the main process"),
    pytest.param(16, kill_everything, 5, id="PostgreSQL 16, every process"),
)


@pytest.mark.parametrize(("version", "kill", "kills"), CASES if FULL else CASES[:1])
async def test_what_was_acknowledged_survives_a_killed_server_and_nothing_is_half_applied(
    mortals: Mortals, effort: Effort, promises: Promises, version: int, kill: Kill, kills: int
) -> None:
    crashed = await crash(await mortals(version), kill, effort.times(1, kills))
    book, differences = crashed.book, crashed.differences
    assert (differences.lost, differences.half, differences.refused_and_kept) == (0, 0, 0)
    assert book.committed

    mortal, times = await mortals(18), effort.times(1, 3)
    await asyncio.to_thread(mortal.restart, CARELESS)
    _, careless = await crash_until(
        lambda differences: differences.lost > 0, mortal, times, CARELESS
    )
    await asyncio.to_thread(mortal.restart)
    assert careless.differences.half == 0
    times, apart = await crash_until(
        lambda differences: min(differences.half, differences.refused_and_kept) > 0,
        mortal,
        times,
        write=write_apart,
    )
    await require_no_commits_while_away(mortal)

    after = f"after kill -9, {effort.times(1, kills)} times"
    promises(
        "An acknowledged commit survives a crash",
        f"{differences.lost} of {len(book.committed):,} lost {after}",
        control=f"{careless.differences.lost:,} of {len(careless.book.committed):,} lost with "
        "synchronous_commit off",
    )
    answered = len(book.committed) + len(book.refused) + len(book.unknown)
    promises(
        "No unit of work is half applied",
        f"{differences.half} of {answered:,} {after}",
        control=f"{apart.differences.half} are after {times} times, if the same work is done in "
        "two units of work",
    )
    promises(
        "An unknown commit is reported as unknown, and can be resolved",
        f"{differences.refused_and_kept} of {len(book.refused):,} committed that were reported "
        "as failed, "
        f"{differences.unknown_and_kept} of "
        f"{len(book.unknown)} that were reported as unknown, {after}",
        control=f"the first half of {apart.differences.refused_and_kept} of "
        f"{len(apart.book.refused):,} "
        "is committed if the same work is done in two units of work",
    )
    promises(
        "The library recovers as soon as the server does",
        f"{median(crashed.since_kill):.2f} s from the kill to the next commit (median), "
        f"{median(crashed.since_answer):.3f} s of it "
        f"after the server was started again, {after}",
        control="no commit happens while the server is down",
    )


async def require_no_commits_while_away(mortal: Mortal) -> None:
    """Show that whoever waits for the next commit waits for one of a server that is there."""
    async with Database.from_url(mortal.server.url, pool_size=4) as database:
        async with writing(database, book := Book()):
            await book.commits_again()
            kill_everything(mortal.server)
            await asyncio.sleep(0.2)  # the acknowledgements have arrived by then
            with pytest.raises(TimeoutError):
                await book.commits_again(within=0.5)
            await asyncio.to_thread(mortal.start)
            await book.commits_again()
        await empty(database)


async def test_a_restart_of_the_server_is_not_noticed_by_the_next_call(
    mortals: Mortals, effort: Effort, promises: Promises
) -> None:
    mortal, times = await mortals(18), effort.times(2, 100)
    usual, after_restart = [], []
    async with Database.from_url(mortal.server.url, pool_size=5, max_overflow=0) as database:
        for _ in range(times):
            async with AsyncExitStack() as all_at_once:
                for _ in range(5):
                    await all_at_once.enter_async_context(database.unit_of_work())
            usual.append(await seconds_of_a_call(database))
            await asyncio.to_thread(mortal.restart)
            assert database.pool_figures().checked_in == 5, (
                "the pool is warm, and all of it is dead"
            )
            after_restart.append(await seconds_of_a_call(database))
        await empty(database)
        with pytest.raises(sqlalchemy.exc.DBAPIError):
            await without_asking_first(mortal)
    added = sorted(after - median(usual) for after in after_restart)
    promises(
        "The first call after a restart of the server succeeds",
        f"0 errors of {times}; {1000 * median(added):.0f} ms added (median), "
        f"{1000 * added[math.ceil(0.99 * len(added)) - 1]:.0f} ms (99 %), with five idle "
        "connections",
        control="the first call fails if a pooled connection is not tested before its use",
    )


async def seconds_of_a_call(database: Database) -> float:
    began = monotonic()
    async with database.reader() as view:
        await view.reviews.exists()
    return monotonic() - began


async def without_asking_first(mortal: Mortal) -> None:
    """Use a connection of SQLAlchemy's pool as it comes, after a restart."""
    engine = create_async_engine(
        "postgresql+asyncpg://",
        async_creator=partial(asyncpg.connect, mortal.server.url.get_secret_value()),
    )
    try:
        async with engine.connect() as connection:
            await connection.execute(text("SELECT 1"))
        await asyncio.to_thread(mortal.restart)
        async with engine.connect() as connection:
            await connection.execute(text("SELECT 1"))
    finally:
        await engine.dispose()
