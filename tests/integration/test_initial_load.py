"""Initial loads: the vector index is built after the rows, and a missing one is reported."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio
from sqlalchemy import text

from domain import (
    ConfigurationError,
    Isolation,
    KnowledgeChunk,
    LearningMemory,
    LockTimeout,
    Review,
)
from repositories import Database
from repositories.migrations import check
from repositories.operations import BuildProgress
from repositories.sql.vector_index import MAX_COVERED_DIMENSIONS
from tests.conftest import DIMENSIONS
from tests.contract.suites.kinds import write
from tests.contract.suites.samples import chunk
from tests.integration.migrations.support import newest

if TYPE_CHECKING:
    from pydantic import SecretStr

    from repositories.testing.servers import TestServer

KNOWLEDGE, MEMORIES = "ix_knowledge_embedding", "ix_learning_memories_embedding"
WIDE = MAX_COVERED_DIMENSIONS + 1
"""The fewest dimensions whose index is HNSW."""

NEAR = [1.0, *[0.5] * (DIMENSIONS - 1)]


@pytest.fixture
def own_url(server: TestServer) -> SecretStr:
    """A database of the test's own, whose indexes it may drop."""
    return server.clone()


@pytest_asyncio.fixture
async def own(own_url: SecretStr) -> AsyncIterator[Database]:
    """That database, open."""
    async with Database.from_url(own_url) as database:
        yield database


async def indexes(database: Database) -> dict[str, str]:
    valid = (
        "SELECT indexname, indexdef FROM pg_indexes"
        " WHERE indexname = ANY(:names) OR indexdef LIKE '%hnsw%' ORDER BY 1"
    )
    async with database.engine.connect() as connection:
        return {
            str(name): str(definition)
            for name, definition in await connection.execute(
                text(valid), {"names": [KNOWLEDGE, MEMORIES]}
            )
        }


async def drift(database: Database) -> list[str]:
    return await check(database.engine)


async def problems(database: Database) -> list[str]:
    return [f"{problem.what}; {problem.remedy}" for problem in (await database.health()).problems]


async def test_the_index_is_built_after_the_rows_as_it_was_before(own: Database) -> None:
    before = await indexes(own)
    reports: list[BuildProgress] = []
    async with own.initial_load(KnowledgeChunk, on_build=reports.append, workers=2):
        assert list(await indexes(own)) == [MEMORIES]
        assert await problems(own) == [
            f"the index {KNOWLEDGE} is missing, so that searches read every row; "
            "wait for the initial load that is running, which builds it at its end"
        ]
        async with own.unit_of_work() as uow:
            await uow.knowledge.add_many(
                [chunk(f"{n}", embedding=[*NEAR[:-1], n / 100]) for n in range(300)]
            )
            await uow.commit()
        async with own.reader() as view:
            hits = await view.knowledge.vector_search(NEAR, limit=3)
            assert len(hits) == 3, "searches still work, and are exact"
    assert await indexes(own) == before
    assert await problems(own) == []
    assert await drift(own) == []
    async with own.reader() as view:
        assert len(await view.knowledge.vector_search(NEAR, limit=3)) == 3


async def test_what_breaks_off_a_load_leaves_the_index_to_the_next_migration(
    own: Database, caplog: pytest.LogCaptureFixture
) -> None:
    before = await indexes(own)
    with (
        caplog.at_level(logging.WARNING, logger="recollect.load"),
        pytest.raises(ZeroDivisionError),
    ):
        async with own.initial_load(KnowledgeChunk):
            await write(own, chunk("a", embedding=NEAR))
            raise ZeroDivisionError
    assert f"{KNOWLEDGE} is missing" in caplog.text
    assert await problems(own) == [
        f"the index {KNOWLEDGE} is missing, so that searches read every row; run `recollect db "
        "migrate`, which builds it"
    ]
    assert await drift(own) == [f"index {KNOWLEDGE} of knowledge is missing in the database"]
    await own.migrate()
    assert await indexes(own) == before
    assert await problems(own) == []


async def test_a_load_that_is_cancelled_lets_the_next_one_in_and_that_builds_the_index(
    own: Database,
) -> None:
    before, begun = await indexes(own), asyncio.Event()

    async def endless() -> None:
        async with own.initial_load(KnowledgeChunk):
            begun.set()
            await asyncio.Event().wait()

    loading = asyncio.create_task(endless())
    await begun.wait()
    with pytest.raises(LockTimeout):
        async with own.initial_load(LearningMemory):
            pass
    await own.migrate()
    assert KNOWLEDGE not in await indexes(own), "a migration does not build what a load is going to"
    loading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await loading
    async with own.initial_load(LearningMemory):
        assert list(await indexes(own)) == [KNOWLEDGE], "the one that was left out is built first"
    assert await indexes(own) == before


async def test_a_build_that_is_interrupted_is_made_up_for(own: Database) -> None:
    before = await indexes(own)
    async with own.engine.begin() as connection:
        await connection.execute(text(f"DROP INDEX {KNOWLEDGE}"))
        await connection.execute(
            text(
                "INSERT INTO knowledge (id, chunk_id, source, source_type, content, content_hash, "
                "embedding) "
                "SELECT gen_random_uuid(), n::text, 's', 'doc', 'c', '', '[1,1,1,1,1,1,1,1]' FROM "
                "generate_series(1, 2) n"
            )
        )
    interrupted = before[KNOWLEDGE].replace("CREATE INDEX", "CREATE INDEX CONCURRENTLY")
    async with own.engine.connect() as connection:
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        async with own.unit_of_work(isolation=Isolation.REPEATABLE_READ) as holder:
            await holder.knowledge.count()
            await connection.execute(text("SET lock_timeout = '50ms'"))
            with pytest.raises(Exception, match="lock timeout"):
                await connection.execute(text(interrupted))
        await connection.invalidate()
    assert any(KNOWLEDGE in problem for problem in await problems(own))
    async with own.initial_load(KnowledgeChunk):
        pass
    assert await indexes(own) == before
    assert await problems(own) == []


@newest
async def test_the_index_keeps_the_parameters_that_the_database_was_made_with(
    server: TestServer,
) -> None:
    url = server.server.create_database("own_parameters")
    async with Database.from_url(
        url, migrate=True, embedding_dimensions=WIDE, hnsw_m=8, hnsw_ef_construction=32
    ) as own:
        before = await indexes(own)
        for entity in (KnowledgeChunk, LearningMemory):
            with pytest.raises(ZeroDivisionError):
                async with own.initial_load(entity):
                    raise ZeroDivisionError
        await own.migrate()
        assert await indexes(own) == before
        assert "m='8'" in before[KNOWLEDGE]


@newest
async def test_a_graph_that_does_not_fit_is_reported(
    own: Database, caplog: pytest.LogCaptureFixture
) -> None:
    async with own.engine.begin() as connection:
        await connection.execute(
            text(f"ALTER DATABASE \"{own.engine.url.database}\" SET maintenance_work_mem = '1MB'")
        )
    await write(own, chunk("a", embedding=NEAR))
    [name] = await own.isolate_tenant("default")
    await own.engine.dispose()
    with caplog.at_level(logging.WARNING, logger="recollect.load"):
        async with (
            own.initial_load(KnowledgeChunk, memory_mb=1, workers=0),
            own.engine.begin() as connection,
        ):
            await connection.execute(
                text(
                    "INSERT INTO knowledge (id, chunk_id, source, source_type, content, "
                    "content_hash, embedding) "
                    "SELECT gen_random_uuid(), n::text, 's', 'doc', 'c', '', ARRAY[n, 1, 1, 1, 1, "
                    "1, 1, 1]::vector "
                    "FROM generate_series(1, 4000) n"
                )
            )
    assert "hnsw graph no longer fits into maintenance_work_mem" in caplog.text
    assert name in await indexes(own), "the index of a tenant is built again after the load"


async def test_only_a_table_with_embeddings_and_a_direct_connection_will_do(
    own: Database, own_url: SecretStr
) -> None:
    with pytest.raises(ConfigurationError, match="Review has no vector index"):
        async with own.initial_load(Review):
            pass
    async with Database.from_url(own_url, pooler="pgbouncer") as pooled:
        with pytest.raises(ConfigurationError, match="direct connection"):
            async with pooled.initial_load(KnowledgeChunk):
                pass
