"""The recall of a vector index, its loss as rows are replaced, and maintenance that restores it."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from sqlalchemy import text

from domain import KnowledgeChunk, StatementTimeout, known_dimensions
from repositories import Database
from repositories.sql.vector_index import tenant_index_name

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from repositories.testing.servers import TestServer

ROWS, DIMENSIONS = 800, 32
INDEX = tenant_index_name("knowledge", "default")
_random = np.random.default_rng(7)


@pytest.fixture
async def emptied(servers: dict[int, TestServer]) -> AsyncIterator[Database]:
    """A database with few candidates in a search, so that a small index can lose recall."""
    settings: dict[str, Any] = {"embedding_dimensions": DIMENSIONS, "ef_search": 10}
    url = servers[18].empty()
    async with Database.from_url(url, migrate=True, hnsw_m=4, **settings) as database:
        async with database.engine.begin() as connection:
            await connection.execute(text("ALTER TABLE knowledge SET (autovacuum_enabled = off)"))
        yield database


def chunks() -> list[KnowledgeChunk]:
    """Return chunks with new vectors, in clusters that are new each time."""
    centres = _random.standard_normal((20, DIMENSIONS))
    vectors = centres[_random.integers(20, size=ROWS)]
    vectors = vectors + 0.3 * _random.standard_normal((ROWS, DIMENSIONS))
    with known_dimensions(DIMENSIONS):
        return [
            KnowledgeChunk(
                chunk_id=f"{n}", source="page", source_type="doc", content="text", embedding=vector
            )
            for n, vector in enumerate(vectors)
        ]


async def replace_all(database: Database, times: int) -> None:
    for _ in range(times):
        async with database.unit_of_work() as uow:
            await uow.knowledge.upsert_many(chunks())
            await uow.commit()


async def health(database: Database) -> Any:
    async with database.engine.connect() as connection:
        # The statistics of this session are visible to others at once.
        await connection.execute(text("SELECT pg_stat_force_next_flush()"))
    # So many searches that their mean does not depend on which rows the sample contains.
    [index] = [
        index for index in await database.vector_index_health(sample=300) if index.name == INDEX
    ]
    return index


async def test_maintenance_restores_the_recall_that_replacements_cost(emptied: Database) -> None:
    await replace_all(emptied, 1)
    assert await emptied.isolate_tenant("default") == [INDEX]
    before = await health(emptied)
    await replace_all(emptied, 5)
    worn = await health(emptied)
    assert worn.recall < before.recall, "without maintenance, searches lose rows"
    assert worn.dead > 0.5
    assert worn.size > before.size
    done = await emptied.maintain()
    restored = await health(emptied)
    assert INDEX in done.rebuilt or restored.recall >= 0.95
    assert restored.recall > worn.recall
    assert restored.dead == 0
    assert (await emptied.maintain(rebuild_indexes=False)).rebuilt == ()


async def test_maintenance_has_a_time_limit_of_its_own(emptied: Database) -> None:
    await replace_all(emptied, 1)
    await emptied.isolate_tenant("default")
    await emptied.vacuum(KnowledgeChunk)
    await emptied.vacuum()
    with pytest.raises(StatementTimeout):
        await emptied.rebuild_index(INDEX, within=timedelta(milliseconds=20))
    assert [index.name for index in await emptied.vector_index_health()] == [INDEX]
    # The interrupted rebuild left an invalid copy, which the next maintenance drops.
    await emptied.maintain()
    assert [p for p in (await emptied.health()).problems if "invalid" in p.what] == []
