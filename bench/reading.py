"""Reads: by key and by vector, beside the driver doing the same on a held connection."""

from __future__ import annotations

from collections.abc import Sequence

from bench.measuring import Figure, Way, compare, driver_of
from bench.writing import chunks
from domain import Vector
from repositories import Database

BY_KEY = """SELECT id, chunk_id, repo, source, source_type, language, title, summary, content, metadata, content_hash, token_count,
 embedding_model, stale, created_at, updated_at FROM knowledge WHERE tenant = $1 AND id = $2"""
NEAREST = """SELECT id, content, embedding <=> $2 AS distance FROM knowledge WHERE tenant = $1
 ORDER BY embedding <=> $2, id LIMIT 10"""


async def measure(database: Database, *, rows: int, dimensions: int, rounds: int) -> Sequence[Figure]:
    """Compare ways to read one chunk by key, and the ten nearest of `rows`."""
    async with database.engine.begin() as connection:
        await connection.exec_driver_sql("TRUNCATE knowledge")
    stored = chunks(rows, dimensions)
    async with database.unit_of_work() as uow:
        await uow.knowledge.upsert_many(stored)
        await uow.commit()
    async with database.engine.connect() as connection:
        await (await connection.execution_options(isolation_level="AUTOCOMMIT")).exec_driver_sql("VACUUM ANALYZE knowledge")
    key, asked = stored[rows // 2].id, stored[0].embedding or Vector([1.0] * dimensions)

    async with database.engine.connect() as held, database.reader() as view, database.unit_of_work() as uow:
        driver = await driver_of(held)

        async def in_a_reader_of_its_own() -> None:
            async with database.reader() as own:
                await own.knowledge.get(key)

        by_key = [
            Way(name="fetchrow by the driver", run=lambda: driver.fetchrow(BY_KEY, "default", key)),
            Way(name="knowledge.get in an open reader", run=lambda: view.knowledge.get(key)),
            Way(name="knowledge.get in an open unit of work", run=lambda: uow.knowledge.get(key)),
            Way(name="a reader opened for one knowledge.get", run=in_a_reader_of_its_own),
        ]
        nearest = [
            Way(name="fetch by the driver", run=lambda: driver.fetch(NEAREST, "default", asked)),
            Way(name="knowledge.vector_search in an open reader", run=lambda: view.knowledge.vector_search(asked)),
        ]
        return [
            *await compare("one chunk by key", by_key, rounds=rounds, repeat=100),
            *await compare(f"ten nearest of {rows:,}", nearest, rounds=rounds, repeat=50),
        ]
