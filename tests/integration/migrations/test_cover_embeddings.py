"""The upgrade to covering indexes: it survives interruptions, and rows can be found meanwhile."""

from __future__ import annotations

import asyncio
import logging
import random
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text

from domain import RecollectError
from repositories.migrations import SchemaOptions, check, migrate, rollback, tenant_indexes
from repositories.sql.vector_index import tenant_index_name
from tests.integration.migrations.support import HEAD, newest, opened

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

    from repositories.testing.servers import TestServer

BEFORE, AFTER = "0017", HEAD
INTERRUPTIONS = 10
ROWS = 1_000
FILL = """
INSERT INTO knowledge (tenant, id, chunk_id, source, source_type, content, content_hash, embedding)
SELECT CASE WHEN g % 4 = 0 THEN 'small' ELSE 'large' END, gen_random_uuid(), 'chunk-' || g, 's',
  'doc', 'c', '', (SELECT array_agg(random()) FROM generate_series(1, 8) WHERE g > 0)::vector
FROM generate_series(1, :rows) g
"""
ROW = "SELECT count(*) FROM knowledge WHERE tenant = 'large' AND chunk_id = 'chunk-1'"
NEAREST = """
SELECT count(*) FROM (
  SELECT id FROM knowledge WHERE tenant = 'large'
  ORDER BY embedding <=> '[1,1,1,1,1,1,1,1]' LIMIT 10
) nearest
"""
OTHERS = """
SELECT pg_terminate_backend(pid) FROM pg_locks
WHERE locktype = 'advisory' AND pid <> pg_backend_pid()
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


async def _scalar(engine: AsyncEngine, statement: str) -> int:
    async with engine.connect() as connection:
        return int(await connection.scalar(text(statement)) or 0)


@newest
async def test_an_upgrade_that_is_killed_again_and_again_ends_without_loss(
    server: TestServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(tenant_indexes, "LARGE_COMPONENTS", 500 * 8)
    caplog.set_level(logging.INFO, logger="recollect.migrations")
    moments = random.Random(7)
    url = await asyncio.to_thread(server.empty)
    async with opened(url) as engine:
        await migrate(engine, SchemaOptions(dimensions=8), revision=BEFORE)
        async with engine.begin() as connection:
            await connection.execute(text(FILL), {"rows": ROWS})
        for _ in range(INTERRUPTIONS):
            async with opened(url) as other:
                migrating = asyncio.create_task(migrate(other))
                await asyncio.sleep(moments.uniform(0.02, 0.6))
                async with engine.connect() as connection:
                    await connection.execute(text(OTHERS))
                with suppress(RecollectError):
                    await migrating
            assert await _scalar(engine, "SELECT count(*) FROM knowledge") == ROWS
            assert await _scalar(engine, ROW) == 1
            assert await _scalar(engine, NEAREST) == 10
        assert await migrate(engine) == AFTER
        assert await check(engine) == []
        assert await _scalar(engine, "SELECT count(*) FROM knowledge") == ROWS
        async with engine.connect() as connection:
            built = await connection.run_sync(tenant_indexes.usable_indexes)
        assert built == {tenant_index_name("knowledge", "large")}
        assert await rollback(engine, BEFORE) == BEFORE
        assert await migrate(engine) == AFTER
        assert "MB of disk space" in caplog.text
        assert "step 1 of" in caplog.text
        assert await check(engine) == []
