"""Many processes migrate the same database at once, as replicas of a service do at their start."""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from repositories import migrations
from tests.integration.migrations.support import INDEX, NEXT, opened, write_revision

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from pydantic import SecretStr

    from repositories.testing.servers import TestServer
    from tests.faults.conftest import Effort, Promises

MIGRATORS = 8
SURPLUS = "index ix_reviews_model of reviews is in the database and not in the entities"
CHECKOUT = Path(__file__).parents[2]

# Migrates each database whose URL comes in on a line, and answers with the revision or the error.
# For a line that begins with `careless`, every migrator believes that it has the lock.
PROGRAM = """
import asyncio, sys
from datetime import timedelta
from pathlib import Path
from sqlalchemy import text
from repositories import migrations
from repositories.postgres.engine import create_engine
from repositories.postgres.settings import Settings
from repositories.migrations import session

async def migrate(url):
    engine, options = create_engine(Settings(url=url)), migrations.SchemaOptions(dimensions=8)
    try:
        return await migrations.migrate(
            engine, options, directory=Path(sys.argv[1]), deadline=timedelta(minutes=2)
        )
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    finally:
        await engine.dispose()

print("ready", flush=True)
for line in sys.stdin:
    *careless, url = line.split()
    if careless:
        session._TRY_LOCK = session._HOLDS_LOCK = text("SELECT true")
    print(asyncio.run(migrate(url)), flush=True)
"""


class Migrators:
    """Processes that wait for a database to migrate."""

    def __init__(self, started: list[asyncio.subprocess.Process]) -> None:
        self._started = started

    async def answers(self) -> list[str]:
        """Return the next line of each."""
        return await asyncio.gather(*map(_answer, self._started))

    async def migrate(self, url: SecretStr, *, careless: bool = False) -> list[str]:
        """Let all of them migrate that database at once, and return their revisions or errors."""
        for process in self._started:
            assert process.stdin is not None
            process.stdin.write(f"{'careless ' * careless}{url.get_secret_value()}\n".encode())
        return await self.answers()


async def _answer(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    return (await asyncio.wait_for(process.stdout.readline(), 150)).decode().strip()


@asynccontextmanager
async def migrators(directory: Path) -> AsyncIterator[Migrators]:
    """Start them, with the revisions of `directory` after those of the package."""
    environment, pipe = {**os.environ, "PYTHONPATH": str(CHECKOUT)}, asyncio.subprocess.PIPE
    command = (sys.executable, "-c", PROGRAM, str(directory))
    started = [
        await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, env=environment)
        for _ in range(MIGRATORS)
    ]
    try:
        eight = Migrators(started)
        assert await eight.answers() == ["ready"] * MIGRATORS
        yield eight
    finally:
        for process in started:
            if process.returncode is None:
                process.kill()
            await process.communicate()


async def test_eight_migrators_at_once_on_an_empty_database_all_succeed_each_time(
    servers: dict[int, TestServer], effort: Effort, promises: Promises, tmp_path: Path
) -> None:
    # The last revision builds an index concurrently, which waits for the transactions of every
    # other migrator.
    write_revision(tmp_path, INDEX)
    rounds = (18, *[16] * effort.times(0, 2))
    async with migrators(tmp_path) as eight:
        for version in rounds:
            url = servers[version].empty()
            assert await eight.migrate(url) == [NEXT] * MIGRATORS
            async with opened(url) as engine:
                assert await migrations.check(engine, directory=tmp_path) == [SURPLUS]
        careless = await eight.migrate(servers[18].empty(), careless=True)
    failed = sum(answer != NEXT for answer in careless)
    assert failed > 0
    calls = len(rounds) * MIGRATORS
    promises(
        "Concurrent migrators are safe",
        f"{calls} of {calls} succeeded, {MIGRATORS} processes at once on an empty database, "
        f"{len(rounds)} times, with an index "
        "that is built concurrently",
        control=f"{failed} of {MIGRATORS} fail without the lock",
    )
