"""Processes of `recollect db migrate` are killed while they give a database its newest layout."""

from __future__ import annotations

import asyncio
import os
import random
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sqlalchemy import text

from repositories.migrations import SchemaOptions, check, migrate, rollback
from repositories.sql.vector_index import tenant_index_name
from tests.faults.conftest import on_the_newest
from tests.integration.migrations.support import HEAD, opened

if TYPE_CHECKING:
    from pydantic import SecretStr
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

    from repositories.testing.servers import TestServer
    from tests.faults.conftest import Effort, Promises

BEFORE: Final = "0016"
"""The revision before the keys of tenants, the covering indexes and those of large tenants."""

CHECKOUT: Final = Path(__file__).parents[2]
MIGRATE: Final = (sys.executable, "-m", "repositories.cli", "db", "migrate")

INSERT = """
INSERT INTO knowledge (tenant, id, chunk_id, source, source_type, content, content_hash, embedding)
SELECT CASE WHEN g % 6 = 0 THEN 'small' ELSE 'large' END, gen_random_uuid(), 'chunk' || g, 's',
  'doc', 'passage' || g || ' of a text', '', (SELECT array_agg(random()) FROM
  generate_series(1, :dimensions) WHERE g > 0)::vector
FROM generate_series(CAST(:first AS int), CAST(:last AS int)) g
"""
# Neither reads the table, so each needs an index that is whole.
SEARCHES = """
SELECT (SELECT count(*) FROM knowledge
        WHERE search_vector @@ to_tsquery('passage' || CAST(CAST(:number AS int) AS text))),
  (SELECT count(*) FROM (SELECT FROM knowledge WHERE tenant = 'large'
   ORDER BY embedding <=> (SELECT embedding FROM knowledge WHERE chunk_id = 'chunk1') LIMIT 10) n)
"""
BUILDING = """
SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
HALF_BUILT = """
SELECT count(*) FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
WHERE NOT i.indisvalid OR c.relname ~ '_(new|built)$'
"""

ROWS = "SELECT count(DISTINCT chunk_id) FROM knowledge"


class Readers:
    """Searches, and writes, while processes come and go."""

    def __init__(self, engine: AsyncEngine, rows: int, dimensions: int) -> None:
        self.rows, self.searches, self.missed = rows, 0, 0
        self._engine, self._dimensions, self._chance = engine, dimensions, random.Random(7)

    async def run(self) -> None:
        """Search for a random row again and again, and write another one."""
        async with self._engine.connect() as connection:
            await connection.execution_options(isolation_level="AUTOCOMMIT")
            await connection.execute(text("SET enable_seqscan = off"))
            while True:
                await self.search(connection, self._chance.randint(1, self.rows))
                await insert(connection, self.rows + 1, self.rows + 1, self._dimensions)
                self.rows += 1
                await asyncio.sleep(0.05)

    async def search(self, connection: AsyncConnection, number: int) -> None:
        """Search for one row by its word, and for the nearest rows of its tenant."""
        counts = (await connection.execute(text(SEARCHES), {"number": number})).one()
        self.searches += 1
        self.missed += tuple(counts) != (1, 10)


async def insert(connection: AsyncConnection, first: int, last: int, dimensions: int) -> None:
    values = {"first": first, "last": last, "dimensions": dimensions}
    await connection.execute(text(INSERT), values)


async def started(url: SecretStr) -> asyncio.subprocess.Process:
    environment = {
        **os.environ,
        "PYTHONPATH": str(CHECKOUT),
        "DATABASE_URL": url.get_secret_value(),
    }
    nowhere = asyncio.subprocess.DEVNULL
    return await asyncio.create_subprocess_exec(
        *MIGRATE, stdout=nowhere, stderr=None, env=environment
    )


async def scalar(engine: AsyncEngine, statement: str) -> int:
    async with engine.connect() as connection:
        return int(await connection.scalar(text(statement)) or 0)


async def killed(url: SecretStr, engine: AsyncEngine, seconds: float) -> bool:
    """Migrate in a process, and kill it so long after it began; False if it was faster."""
    process = await started(url)
    for _ in range(6_000):
        if process.returncode is not None or await scalar(engine, BUILDING):
            break
        await asyncio.sleep(0.01)
    try:
        await asyncio.wait_for(process.wait(), seconds)
    except TimeoutError:
        process.kill()
        await process.wait()
        return True
    assert process.returncode == 0
    return False


@on_the_newest
async def test_a_migration_that_is_killed_is_completed_by_the_next_run(
    server: TestServer, effort: Effort, promises: Promises
) -> None:
    kills, rows, dimensions = effort.times(1, 10), effort.times(600, 6_000), 256
    moments, hits, half_built = random.Random(11), 0, 0
    url = server.empty()
    async with opened(url) as engine:
        await migrate(engine, SchemaOptions(dimensions=dimensions), revision=BEFORE)
        async with engine.begin() as connection:
            await insert(connection, 1, rows, dimensions)
        readers = Readers(engine, rows, dimensions)
        running = asyncio.create_task(readers.run())
        while hits < kills:
            if await killed(url, engine, moments.uniform(0.0, effort.times(1, 4))):
                hits += 1
                half_built += await scalar(engine, HALF_BUILT) > 0
            else:
                await rollback(engine, BEFORE)
        process = await started(url)
        assert await process.wait() == 0
        running.cancel()
        await asyncio.wait([running])
        assert running.cancelled(), "a search or a write failed"
        assert await check(engine) == []
        assert (
            await scalar(engine, "SELECT count(DISTINCT chunk_id) FROM knowledge") == readers.rows
        )
        assert (await scalar(engine, HALF_BUILT), readers.missed) == (0, 0)
        if effort.full:
            own = tenant_index_name("knowledge", "large")
            assert await scalar(engine, f"SELECT to_regclass('{own}') IS NOT NULL") == 1
            assert half_built > 0
        searches = readers.searches
        async with engine.begin() as connection:
            await connection.execute(text("DELETE FROM knowledge WHERE chunk_id = 'chunk2'"))
            await readers.search(connection, 2)
        assert readers.missed == 1
    promises(
        "A migration that is killed is completed by the next run",
        f"to revision {HEAD}, killed at {kills} random moments: {half_built} times an index was "
        f"half built; 0 of {readers.rows:,} rows lost, of which {readers.rows - rows} were written "
        f"meanwhile, and {searches} of {searches} searches found their rows",
        control="a row that is deleted is missed",
    )
