"""Migrations next to other migrations and other work, and after an interruption."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import event, text
from sqlalchemy.exc import DBAPIError

from domain.errors import MigrationFailed
from repositories import migrations
from repositories.migrations import SchemaOptions, distribution, indexes, session
from tests.integration.migrations.support import (
    HEAD,
    INDEX,
    NEXT,
    execute,
    newest,
    opened,
    scalar,
    write_revision,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from pydantic import SecretStr
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

    from repositories.testing.servers import TestServer

DROP = "op.drop_index('ix_reviews_model', if_exists=True)"
OTHERS = (
    "datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
)
HERE = "database = (SELECT oid FROM pg_database WHERE datname = current_database())"
LIMITS = """SELECT string_agg(current_setting(name), ' ' ORDER BY name) FROM unnest(ARRAY[
    'lock_timeout', 'statement_timeout', 'idle_in_transaction_session_timeout']) AS name"""
IS_VALID = "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass('ix_reviews_model')"


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let statements of migrations wait for a table for a fifth of a second only."""
    monkeypatch.setattr(session, "LOCK_TIMEOUT", timedelta(milliseconds=200))


async def until(engine: AsyncEngine, question: str) -> None:
    """Return when the database says yes."""
    for _ in range(500):
        if await scalar(engine, question):
            return
        await asyncio.sleep(0.02)
    pytest.fail(f"never true: {question}")


async def test_databases_are_migrated_at_once_by_tasks_and_threads_of_one_process(
    servers: dict[int, TestServer],
) -> None:
    async def there_and_back(url: SecretStr, dimensions: int) -> None:
        async with opened(url) as engine:
            await migrations.migrate(engine, SchemaOptions(dimensions=dimensions), revision="0002")
            assert await scalar(engine, "SELECT dimensions FROM embedding_metadata") == dimensions
            assert await migrations.rollback(engine, "base") is None

    def in_a_loop_of_its_own(url: SecretStr, dimensions: int) -> None:
        asyncio.run(there_and_back(url, dimensions))

    one, two, three = (servers[18].empty() for _ in range(3))
    thread = asyncio.to_thread(in_a_loop_of_its_own, three, 24)
    await asyncio.gather(there_and_back(one, 8), there_and_back(two, 16), thread)


@asynccontextmanager
async def holding_the_lock(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    async with engine.connect() as other:
        assert await other.scalar(
            text("SELECT pg_try_advisory_lock(:key)"), {"key": session.LOCK_KEY}
        )
        await other.commit()
        yield other
        await other.invalidate()


@newest
async def test_a_migrator_waits_for_the_lock_until_its_deadline_and_holds_no_transaction_meanwhile(
    empty: AsyncEngine,
) -> None:
    async with holding_the_lock(empty) as other:
        waiting = asyncio.create_task(migrations.migrate(empty, deadline=timedelta(seconds=1.5)))
        await asyncio.sleep(0.5)
        others = f"FROM pg_stat_activity WHERE {OTHERS}"
        for _ in range(20):
            assert await other.scalar(text(f"SELECT count(*) {others}")) == 1
            long = "xact_start < clock_timestamp() - interval '0.2 s'"
            assert await other.scalar(text(f"SELECT count(*) {others} AND {long}")) == 0
            await other.rollback()
        with pytest.raises(MigrationFailed, match=r"^other migrators held the lock for 1.5 s$"):
            await waiting
        going_on = asyncio.create_task(migrations.migrate(empty, revision="0001"))
        await asyncio.sleep(0.3)
        assert not going_on.done()
    assert await going_on == "0001"


@newest
async def test_what_waits_for_a_table_lets_readers_through_and_tries_again(
    migrated: AsyncEngine, tmp_path: Path, impatient: None
) -> None:
    write_revision(tmp_path, "op.execute('ALTER TABLE reviews ADD a int')")
    async with migrated.connect() as reader:
        await reader.execute(text("SELECT FROM reviews"))
        migrating = asyncio.create_task(migrations.migrate(migrated, directory=tmp_path))
        for _ in range(5):
            await asyncio.sleep(0.15)
            async with asyncio.timeout(2):
                await scalar(migrated, "SELECT count(*) FROM reviews")
        assert not migrating.done()
    assert await migrating == NEXT


@newest
async def test_a_table_that_stays_locked_until_the_deadline_raises(
    migrated: AsyncEngine, tmp_path: Path, impatient: None
) -> None:
    write_revision(tmp_path, "op.execute('ALTER TABLE reviews ADD a int')")
    async with migrated.connect() as reader:
        await reader.execute(text("SELECT FROM reviews"))
        with pytest.raises(
            MigrationFailed,
            match=rf"^revision {NEXT} failed: canceling statement due to lock timeout \(55P03\)$",
        ):
            await migrations.migrate(migrated, directory=tmp_path, deadline=timedelta(seconds=0.5))
    assert await migrations.current(migrated) == HEAD


@newest
async def test_a_migrator_that_lost_its_lock_keeps_nothing_of_the_revision(
    migrated: AsyncEngine, tmp_path: Path
) -> None:
    write_revision(
        tmp_path,
        "op.execute('CREATE TABLE half (id int)')\n"
        "    op.execute('SELECT pg_advisory_unlock_all()')",
    )
    with pytest.raises(
        MigrationFailed, match="the migration lock was lost: migrate through a direct connection"
    ):
        await migrations.migrate(migrated, directory=tmp_path)
    assert await scalar(migrated, "SELECT to_regclass('half')") is None
    assert await migrations.current(migrated) == HEAD


@newest
async def test_a_cancelled_migrator_leaves_neither_a_lock_nor_a_query_nor_half_a_revision(
    migrated: AsyncEngine, tmp_path: Path
) -> None:
    write_revision(
        tmp_path, "op.execute('CREATE TABLE half (id int)')\n    op.execute('SELECT pg_sleep(60)')"
    )
    migrating = asyncio.create_task(migrations.migrate(migrated, directory=tmp_path))
    await until(
        migrated,
        f"SELECT EXISTS (SELECT FROM pg_stat_activity WHERE {OTHERS} AND wait_event = 'PgSleep')",
    )
    migrating.cancel()
    with pytest.raises(asyncio.CancelledError):
        await migrating
    await until(
        migrated,
        f"SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE {OTHERS} AND wait_event = "
        "'PgSleep')",
    )
    assert await scalar(migrated, "SELECT to_regclass('half')") is None
    assert await migrations.migrate(migrated) == HEAD


@newest
async def test_a_migrator_that_lost_its_connection_writes_nothing_and_the_next_one_continues(
    migrated: AsyncEngine, tmp_path: Path
) -> None:
    write_revision(
        tmp_path, "op.execute('CREATE TABLE half (id int)')\n    op.execute('SELECT pg_sleep(60)')"
    )
    migrating = asyncio.create_task(migrations.migrate(migrated, directory=tmp_path))
    asleep = f"FROM pg_stat_activity WHERE {OTHERS} AND wait_event = 'PgSleep'"
    await until(migrated, f"SELECT EXISTS (SELECT {asleep})")
    await scalar(migrated, f"SELECT pg_terminate_backend(pid) {asleep}")
    with pytest.raises(
        MigrationFailed,
        match=rf"^revision {NEXT} failed: terminating connection due to administrator command "
        r"\(57P01\)$",
    ):
        await migrating
    assert await scalar(migrated, "SELECT to_regclass('half')") is None
    write_revision(tmp_path, "op.execute('CREATE TABLE whole (id int)')")
    assert await migrations.migrate(migrated, directory=tmp_path) == NEXT


@newest
async def test_what_a_migrator_sets_stays_in_its_own_connection(migrated: AsyncEngine) -> None:
    before = await scalar(migrated, LIMITS)
    await migrations.migrate(migrated)
    async with migrated.connect() as first, migrated.connect() as second:
        for connection in (first, second):
            assert await connection.scalar(text(LIMITS)) == before
        assert (
            await first.scalar(
                text(f"SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND {HERE}")
            )
            == 0
        )


@asynccontextmanager
async def writing(engine: AsyncEngine) -> AsyncIterator[None]:
    """Hold a transaction that wrote to the reviews, which CREATE INDEX CONCURRENTLY waits for."""
    async with engine.connect() as writer:
        await writer.execute(
            text("INSERT INTO reviews (id, repo, pr_number) VALUES (gen_random_uuid(), 'a/b', 1)")
        )
        yield


async def cancel_the_build(engine: AsyncEngine) -> None:
    waiting = (
        f"FROM pg_stat_activity WHERE {OTHERS} AND query ~ 'INDEX.* CONCURRENTLY' AND "
        "wait_event_type = 'Lock'"
    )
    await until(engine, f"SELECT EXISTS (SELECT {waiting})")
    await scalar(engine, f"SELECT pg_cancel_backend(pid) {waiting}")


async def build(engine: AsyncEngine, statement: str) -> None:
    async with engine.connect() as connection:
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        await connection.execute(text("SET lock_timeout = 0"))
        try:
            await connection.execute(text(statement))
        finally:
            await connection.invalidate()


async def test_an_index_built_concurrently_that_was_interrupted_is_built_by_the_next_attempt(
    migrated: AsyncEngine, tmp_path: Path, impatient: None
) -> None:
    write_revision(tmp_path, INDEX, downgrade=DROP)
    async with writing(migrated):
        migrating = asyncio.create_task(migrations.migrate(migrated, directory=tmp_path))
        await asyncio.sleep(1)  # five times as long as a statement waits for a table
        assert not migrating.done()
        await cancel_the_build(migrated)
        with pytest.raises(
            MigrationFailed,
            match=rf"^revision {NEXT} failed: canceling statement due to user request \(57014\)$",
        ):
            await migrating
    assert await scalar(migrated, IS_VALID) is False
    assert await migrations.current(migrated) == HEAD
    assert await migrations.migrate(migrated, directory=tmp_path) == NEXT
    assert await scalar(migrated, IS_VALID) is True
    assert await migrations.rollback(migrated, directory=tmp_path) == HEAD
    assert await scalar(migrated, IS_VALID) is None


async def test_every_migration_rebuilds_what_was_interrupted_and_drops_what_is_left_over(
    migrated: AsyncEngine,
) -> None:
    definition = await scalar(
        migrated, "SELECT pg_get_indexdef('ix_reviews_tenant_repo_pr_number'::regclass)"
    )
    await execute(migrated, "DROP INDEX ix_reviews_tenant_repo_pr_number")
    async with writing(migrated):
        for statement in (
            definition.replace("INDEX", "INDEX CONCURRENTLY"),
            "REINDEX INDEX CONCURRENTLY ix_reviews_tenant_repo_created_at",
        ):
            building = asyncio.create_task(build(migrated, statement))
            await cancel_the_build(migrated)
            with pytest.raises(DBAPIError, match="user request"):
                await building
    assert await migrations.check(migrated) == [
        "index ix_reviews_tenant_repo_created_at_ccnew of reviews is in the database and not in "
        "the entities",
        "the state of index ix_reviews_tenant_repo_pr_number of reviews is `invalid`, the "
        "entities say `valid`",
    ]
    assert await migrations.migrate(migrated) == HEAD
    assert await migrations.check(migrated) == []


async def test_an_interrupted_index_of_distributed_tables_is_made_again_if_no_worker_builds_one(
    migrated: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    statements: list[str] = []
    rebuild = partial(indexes.rebuild_interrupted, tables=["reviews"])

    @event.listens_for(migrated.sync_engine, "before_cursor_execute")
    def record(*execution: Any) -> None:
        statements.append(execution[2])

    async with writing(migrated):
        building = asyncio.create_task(
            build(migrated, "CREATE INDEX CONCURRENTLY ix_reviews_model ON reviews (model)")
        )
        await cancel_the_build(migrated)
        with pytest.raises(DBAPIError, match="user request"):
            await building
    monkeypatch.setattr(distribution, "is_distributed", lambda _: True)
    for worker_builds in (True, False):
        monkeypatch.setattr(distribution, "builds_index", lambda _, it=worker_builds: it)
        async with migrated.connect() as connection:
            await connection.run_sync(rebuild)
        assert await scalar(migrated, IS_VALID) is not worker_builds
    # Citus cannot reindex what its workers lack, nor drop it without IF EXISTS.
    assert not any(statement.startswith("REINDEX") for statement in statements)
    assert "DROP INDEX CONCURRENTLY IF EXISTS ix_reviews_model" in statements


async def test_an_index_that_another_session_builds_is_left_to_it(migrated: AsyncEngine) -> None:
    async with writing(migrated):
        building = asyncio.create_task(
            build(migrated, "CREATE INDEX CONCURRENTLY ix_reviews_model ON reviews (model)")
        )
        await until(
            migrated,
            f"SELECT EXISTS (SELECT FROM pg_stat_activity WHERE {OTHERS} AND wait_event_type = "
            "'Lock')",
        )
        assert await scalar(migrated, IS_VALID) is False
        assert await migrations.migrate(migrated) == HEAD
        assert not building.done()
    await building
    assert await scalar(migrated, IS_VALID) is True
