"""Reads.

By key, a hundred rows, and by vector, beside the driver doing the same on an open connection; and
what an import costs.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Sequence

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import defer
from sqlmodel import col

from bench.measuring import Figure, Way, compare, driver_of
from bench.peers.ways import Others
from domain import KnowledgeChunk
from repositories import Database

_COLUMNS = """tenant, id, created_at, chunk_id, repo, source, source_type, language, title, summary,
 content,
 metadata, content_hash, token_count, embedding_model, stale, updated_at"""
BY_KEY = f"SELECT {_COLUMNS} FROM knowledge WHERE tenant = $1 AND id = $2"
HUNDRED = f"SELECT {_COLUMNS} FROM knowledge WHERE tenant = $1 ORDER BY id LIMIT 100"
# Without the tenant and by force: left to itself the planner reads all rows rather than the index.
NEAREST = f"""WITH nearest AS MATERIALIZED (
 SELECT id AS found, embedding <=> $2 AS distance FROM knowledge ORDER BY embedding <=> $2 LIMIT 10)
 SELECT {_COLUMNS}, distance FROM nearest JOIN knowledge ON tenant = $1 AND id = found
 ORDER BY distance, id"""


async def measure(
    database: Database, stored: Sequence[KnowledgeChunk], *, others: Others, rounds: int
) -> Sequence[Figure]:
    """Compare ways to read one chunk by key, a hundred, and the ten nearest of what is stored."""
    await others.fill()
    async with database.engine.connect() as connection:
        await (await connection.execution_options(isolation_level="AUTOCOMMIT")).exec_driver_sql(
            "VACUUM ANALYZE"
        )
    key, query = stored[len(stored) // 2].id, stored[0].embedding
    assert query is not None

    async with (
        database.read_engine.connect() as read_connection,
        database.reader() as view,
        database.unit_of_work() as uow,
        AsyncSession(database.engine) as session,
    ):
        driver = await driver_of(read_connection)
        # A search does this if the candidates are not enough.
        await driver.execute("SET hnsw.iterative_scan = relaxed_order; SET enable_seqscan = off")

        async def in_a_reader_of_its_own() -> None:
            async with database.reader() as own:
                await own.knowledge.get(key)

        by_key = [
            Way(name="fetchrow by the driver", run=lambda: driver.fetchrow(BY_KEY, "default", key)),
            Way(name="knowledge.get in an open reader", run=lambda: view.knowledge.get(key)),
            Way(name="a reader opened for one knowledge.get", run=in_a_reader_of_its_own),
            *others.getting(),
        ]
        tracked = [
            Way(name="the ORM's statement by hand", run=_by_hand(session, key)),
            Way(name="knowledge.get in an open unit of work", run=lambda: uow.knowledge.get(key)),
        ]
        hundred = [
            Way(name="fetch by the driver", run=lambda: driver.fetch(HUNDRED, "default")),
            Way(
                name="knowledge.list in an open reader", run=lambda: view.knowledge.list(limit=100)
            ),
        ]
        nearest = [
            Way(name="fetch by the driver", run=lambda: driver.fetch(NEAREST, "default", query)),
            Way(
                name="knowledge.vector_search in an open reader",
                run=lambda: view.knowledge.vector_search(query),
            ),
            *others.searching(10),
        ]
        return [
            *await compare("one chunk by key", by_key, rounds=rounds, repeat=20),
            *await compare("one tracked chunk by key", tracked, rounds=rounds, repeat=20),
            *await compare("a hundred chunks", hundred, rounds=rounds, repeat=20),
            *await compare(
                f"ten nearest of {len(stored):,}, with their text",
                nearest,
                rounds=rounds,
                repeat=20,
                size=len(stored),
            ),
        ]


def _by_hand(session: AsyncSession, key: object) -> Callable[[], Awaitable[KnowledgeChunk]]:
    without_embedding = defer(getattr(KnowledgeChunk, "embedding"))  # noqa: B009 -- its type is the field's

    async def get() -> KnowledgeChunk:
        statement = select(KnowledgeChunk).where(
            col(KnowledgeChunk.tenant) == "default", col(KnowledgeChunk.id) == key
        )
        statement = statement.options(without_embedding).execution_options(populate_existing=True)
        return (await session.execute(statement)).scalars().one()

    return get


async def importing(*, rounds: int) -> Sequence[Figure]:
    """Compare what imports take, each in a process of its own."""

    def importing(program: str) -> Callable[[], Awaitable[int]]:
        async def run() -> int:
            return await (
                await asyncio.create_subprocess_exec(sys.executable, "-c", program)
            ).wait()

        return run

    programs = (
        "import sqlmodel",
        "import domain",
        "from domain import KnowledgeChunk",
        "from domain import *",
    )
    return await compare(
        "importing",
        [Way(name=program, run=importing(program)) for program in programs],
        rounds=rounds,
    )
