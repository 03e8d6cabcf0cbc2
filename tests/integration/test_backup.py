"""Backups of real databases: what is restored is what was there, or nothing is."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from domain import (
    AccessDenied,
    BackupDamaged,
    BackupError,
    EmbeddingMismatch,
    InvalidBackup,
    SchemaOutdated,
    Vector,
    metadata,
)
from repositories import Database, migrations
from repositories.backup import Manifest, dump, dumping, restore
from repositories.migrations.environment import scripts
from repositories.postgres.connection import Connection
from repositories.postgres.engine import create_engine
from repositories.postgres.settings import Settings
from repositories.testing.factories import (
    KnowledgeChunkFactory,
    ReviewFactory,
    RunStateFactory,
    TelemetryEventFactory,
)
from tests.integration.test_factories import write_all

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from pydantic import SecretStr
    from sqlalchemy.ext.asyncio import AsyncEngine

    from repositories.testing.servers import TestServer

TABLES = [table.name for table in metadata.sorted_tables]

EMBEDDING = Vector([1 / 3, 1e-38, -1e-45, 0.1, -0.0, 999_999.9, 3.4e-38, -1])
HOSTILE = {
    "title": "שלום 👩‍👩‍👧 \\N \\. \t\r\n\x01\x7f\ufeff",
    "content": "'; DROP TABLE knowledge; --\n" + "\U0010ffff" * 100,
    "metadata_": {
        "1e22": 1e22,
        "0.1": 0.1,
        "big": 2**200,
        "": ["", None, True, {"\\": "\u2028"}],
        "deep": [[[[[{}]]]]],
    },
    "embedding": EMBEDDING,
}


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


async def rows_of(
    connection: AsyncConnection, tables: list[str], tenant: str | None = None
) -> dict[str, list[str]]:
    """Every row of the tables as the server writes it.

    Floats shortest and exact, generated columns included.
    """
    rows_by_table = {}
    for table in tables:
        of = "" if tenant is None else f" WHERE tenant = '{tenant}'"
        rows_by_table[table] = list(
            await connection.scalars(text(f"SELECT t::text FROM {table} t{of} ORDER BY 1"))
        )
    return rows_by_table


async def rows(database: Database, tenant: str | None = None) -> dict[str, list[str]]:
    tables = [
        name for name in TABLES if tenant is None or "tenant" in metadata.tables[name].columns
    ]
    async with database.engine.connect() as connection:
        return await rows_of(connection, tables, tenant)


async def vector_indexes(database: Database) -> list[str]:
    async with database.engine.connect() as connection:
        return list(
            await connection.scalars(
                text(
                    "SELECT indexdef FROM pg_indexes WHERE indexdef LIKE '%hnsw%'"
                    " OR indexname IN ('ix_knowledge_embedding', 'ix_learning_memories_embedding')"
                    " ORDER BY 1"
                )
            )
        )


async def fill(database: Database) -> None:
    for tenant in ("default", "acme"):
        async with database.unit_of_work(tenant=tenant) as uow:
            if tenant == "default":
                await write_all(uow)
            uow.knowledge.add(KnowledgeChunkFactory.build(**HOSTILE))
            uow.runs.add(RunStateFactory.build())
            old = datetime(2025, 2, 3, tzinfo=UTC)
            await uow.telemetry.record(TelemetryEventFactory.build(created_at=old))
            await uow.commit()


@pytest.fixture(params=[(18, 16), (16, 18)], ids=["18-to-16", "16-to-18"])
def way(
    request: pytest.FixtureRequest, servers: dict[int, TestServer]
) -> tuple[SecretStr, SecretStr]:
    return servers[request.param[0]].clone(), servers[request.param[1]].clone()


@pytest.fixture
def urls(servers: dict[int, TestServer]) -> tuple[SecretStr, SecretStr]:
    return servers[18].clone(), servers[18].clone()


@pytest.fixture
async def source(urls: tuple[SecretStr, SecretStr]) -> AsyncIterator[Database]:
    async with Database.from_url(urls[0]) as database:
        yield database


@pytest.fixture
async def target(urls: tuple[SecretStr, SecretStr]) -> AsyncIterator[Database]:
    async with Database.from_url(urls[1]) as database:
        yield database


async def test_every_row_of_every_table_is_restored_as_it_was(
    way: tuple[SecretStr, SecretStr], tmp_path: Path
) -> None:
    path = tmp_path / "backup"
    async with Database.from_url(way[0]) as source, Database.from_url(way[1]) as target:
        async with source.engine.begin() as connection:
            month = "FOR VALUES FROM ('2025-02-01') TO ('2025-03-01')"
            await connection.execute(
                text(f"CREATE TABLE telemetry_2025_02 PARTITION OF telemetry_events {month}")
            )
        await fill(source)
        before = await rows(source)
        assert [table for table, stored in before.items() if not stored] == [], (
            "write rows of these tables in `write_all` of tests/integration/test_factories.py"
        )
        written = await source.dump(path)
        assert {table.name: table.rows for table in written.tables} == {
            name: len(rows_of_table) for name, rows_of_table in before.items()
        }
        built = await vector_indexes(target)
        restored = await target.restore(path)
        assert restored == written
        assert await rows(target) == before
        assert await vector_indexes(target) == built != []
        async with target.reader(tenant="acme") as view:
            (chunk,) = await view.knowledge.list()
            assert chunk.metadata_ == HOSTILE["metadata_"]
            (hit,) = await view.knowledge.vector_search(EMBEDDING, limit=3)
            assert hit.item.id == chunk.id


async def test_an_empty_database_is_restored_empty(
    source: Database, target: Database, tmp_path: Path
) -> None:
    before = await rows(source)
    written = await source.dump(tmp_path / "backup")
    assert written.rows == 1, "the record of how it embeds"
    await target.restore(tmp_path / "backup")
    assert await rows(target) == before


async def test_five_thousand_rows_are_restored(
    source: Database, target: Database, tmp_path: Path
) -> None:
    async with source.engine.begin() as connection:
        await connection.execute(
            text("""
            INSERT INTO knowledge (
                id, chunk_id, source, source_type, content, content_hash, embedding
            )
            SELECT gen_random_uuid(), n::text, 's', 'doc', 'word' || n, '',
                CASE WHEN n % 5 = 0 THEN ARRAY(
                    SELECT random() - 0.5 + n * 0 FROM generate_series(1, 8)
                )::vector END
            FROM generate_series(1, 5000) n""")
        )
    assert (await source.dump(tmp_path / "backup")).rows == 5_001
    await target.restore(tmp_path / "backup")
    assert await rows(target) == await rows(source)


async def test_a_backup_is_of_one_moment_while_others_write(
    source: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def write_pair() -> None:
        async with source.unit_of_work() as uow:
            uow.runs.add(RunStateFactory.build())
            uow.reviews.add(ReviewFactory.build())
            await uow.commit()

    copy = dumping._copy

    async def copy_after_a_write(*arguments: Any) -> Any:
        await write_pair()
        return await copy(*arguments)

    monkeypatch.setattr(dumping, "_copy", copy_after_a_write)
    await write_pair()
    written = await source.dump(tmp_path / "backup")
    counted = {table.name: table.rows for table in written.tables}
    assert (counted["reviews"], counted["run_state"]) == (1, 1)
    async with source.reader() as view:
        assert await view.reviews.count() == 1 + len(written.tables)


async def test_rows_in_the_way_are_refused_or_replaced(
    source: Database, target: Database, tmp_path: Path
) -> None:
    await fill(source)
    await source.dump(tmp_path / "backup")
    async with target.unit_of_work(tenant="other") as uow:
        uow.knowledge.add(KnowledgeChunkFactory.build())
        await uow.commit()
    before = await rows(target)
    with pytest.raises(InvalidBackup, match="the database has rows already, in knowledge"):
        await target.restore(tmp_path / "backup")
    assert await rows(target) == before
    await target.restore(tmp_path / "backup", replace=True)
    assert await rows(target) == await rows(source)


def announced(monkeypatch: pytest.MonkeyPatch, kind: type[Any], method: str) -> asyncio.Event:
    """Return an event that is set when the method of a class is called next."""
    original, called = getattr(kind, method), asyncio.Event()

    async def announcing(connection: Any, **options: Any) -> None:
        called.set()
        await original(connection, **options)

    monkeypatch.setattr(kind, method, announcing)
    return called


async def test_a_restore_that_is_cancelled_during_commit_waits_for_the_answer(
    source: Database, target: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(source)
    await source.dump(tmp_path / "backup")
    committing = announced(monkeypatch, AsyncConnection, "commit")
    restoring = asyncio.create_task(target.restore(tmp_path / "backup"))
    await committing.wait()
    restoring.cancel()
    with pytest.raises(asyncio.CancelledError):
        await restoring
    assert await rows(target) == await rows(source)


async def test_a_backup_that_is_cancelled_while_it_disconnects_logs_nothing(
    source: Database,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    closing = announced(monkeypatch, Connection, "close")
    dumps = asyncio.create_task(source.dump(tmp_path / "backup"))
    await closing.wait()
    dumps.cancel()
    with pytest.raises(asyncio.CancelledError):
        await dumps
    assert caplog.messages == []


async def test_restores_at_the_same_time_wait_for_each_other(
    source: Database, target: Database, tmp_path: Path
) -> None:
    path, of_tenant = tmp_path / "backup", tmp_path / "acme"
    await fill(source)
    await source.dump(path)
    await source.dump(of_tenant, tenant="acme")
    for _ in range(3):
        await asyncio.gather(
            *(target.restore(each, replace=True) for each in (path, path, of_tenant))
        )
    assert await rows(target) == await rows(source)


async def test_one_tenant_moves_beside_others(
    source: Database, target: Database, tmp_path: Path
) -> None:
    path = tmp_path / "backup"
    await fill(source)
    written = await source.dump(path, tenant="acme")
    assert (written.tenant, written.rows) == ("acme", 3)
    assert "global_patterns" not in {table.name for table in written.tables}
    async with target.unit_of_work(tenant="neighbour") as uow:
        uow.knowledge.add(KnowledgeChunkFactory.build())
        await uow.commit()
    neighbour, built = await rows(target, "neighbour"), await vector_indexes(target)
    await target.restore(path)
    assert await rows(target, "acme") == await rows(source, "acme")
    assert (await rows(target, "neighbour"), await vector_indexes(target)) == (neighbour, built)
    with pytest.raises(InvalidBackup, match="the tenant 'acme' has rows already"):
        await target.restore(path)
    await target.restore(path, replace=True)
    assert await rows(target, "acme") == await rows(source, "acme")
    assert await rows(target, "neighbour") == neighbour


async def test_a_tenant_without_rows_is_no_backup(source: Database, tmp_path: Path) -> None:
    with pytest.raises(BackupError, match="no rows of the tenant 'absent'"):
        await source.dump(tmp_path / "backup", tenant="absent")
    assert names(tmp_path) == []


async def test_a_role_from_which_policies_hide_rows_gets_no_backup_without_them(
    source: Database, tmp_path: Path
) -> None:
    async with source.engine.begin() as connection:
        await connection.execute(
            text("ALTER TABLE knowledge ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY")
        )
    with pytest.raises(AccessDenied, match="a superuser, or as a role with BYPASSRLS"):
        await source.dump(tmp_path / "backup")
    assert names(tmp_path) == []


def rewritten(path: Path, change: dict[str, Any]) -> None:
    """Write the backup again with another manifest: complete, but wrong."""
    whole = path.read_bytes()
    manifest, offset = Manifest.from_bytes(whole)
    path.write_bytes(manifest.model_copy(update=change).to_bytes() + whole[offset:])


async def test_a_restore_that_fails_at_its_end_changes_nothing(
    source: Database, target: Database, tmp_path: Path
) -> None:
    path = tmp_path / "backup"
    await fill(source)
    written = await source.dump(path)
    last = written.tables[-1]
    lie = last.model_copy(update={"rows": last.rows + 1})
    rewritten(path, {"tables": (*written.tables[:-1], lie)})
    before, built = await rows(target), await vector_indexes(target)
    with pytest.raises(BackupDamaged, match=f"{last.name} has other rows"):
        await target.restore(path)
    assert (await rows(target), await vector_indexes(target)) == (before, built)


async def test_a_damaged_file_is_refused_before_anything_is_removed(
    source: Database, tmp_path: Path
) -> None:
    path = tmp_path / "backup"
    await fill(source)
    await source.dump(path)
    before = await rows(source)
    whole = path.read_bytes()
    for damaged in (whole[:-1], whole[:-9] + bytes([whole[-9] ^ 1]) + whole[-8:]):
        path.write_bytes(damaged)
        with pytest.raises(BackupDamaged):
            await source.restore(path, replace=True)
    assert await rows(source) == before


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"dimensions": 9}, EmbeddingMismatch, "dimensions 8, not 9"),
        (
            {"revision": "0001"},
            InvalidBackup,
            "the backup has revision 0001 and the database has",
        ),
        (
            {"revision": "9999"},
            InvalidBackup,
            "has revision 9999, which this version does not know",
        ),
    ],
)
async def test_a_backup_that_does_not_fit_is_refused(
    source: Database, tmp_path: Path, change: dict[str, Any], error: type[Exception], words: str
) -> None:
    path = tmp_path / "backup"
    await source.dump(path)
    rewritten(path, change)
    with pytest.raises(error, match=words):
        await source.restore(path)


async def test_a_backup_of_other_tables_is_refused(source: Database, tmp_path: Path) -> None:
    path = tmp_path / "backup"
    first, *others = (await source.dump(path)).tables
    rewritten(path, {"tables": (first.model_copy(update={"name": "others"}), *others)})
    with pytest.raises(InvalidBackup, match=rf"differ in .*columns: {first.name}, others"):
        await source.restore(path)


async def test_a_backup_of_an_older_revision_is_restored_there_and_migrated_afterwards(
    servers: dict[int, TestServer], tmp_path: Path
) -> None:
    older = [script.revision for script in scripts().walk_revisions()][1]
    engines = [create_engine(Settings(url=servers[18].empty()).for_migrations()) for _ in range(2)]
    try:
        await migrations.migrate(engines[0], migrations.SchemaOptions(dimensions=3), revision=older)
        async with engines[0].begin() as connection:
            await connection.execute(
                text(
                    "INSERT INTO author_cache (id, repo, author_login, author_association, tier) "
                    "VALUES "
                    "(gen_random_uuid(), 'r', 'a', 'MEMBER', 'core')"
                )
            )
            before = await rows_of(connection, ["author_cache"])
        assert (await dump(engines[0], tmp_path / "backup")).revision == older
        await restore(engines[1], tmp_path / "backup")
        await migrations.migrate(engines[1])
        async with engines[1].connect() as connection:
            assert (await rows_of(connection, ["author_cache"]))["author_cache"] == before[
                "author_cache"
            ]
    finally:
        for engine in engines:
            await engine.dispose()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"revision": "0003", "dimensions": 5}, "differ in their tables or columns"),
        ({"model": "another"}, "model in the rows of the backup differs"),
    ],
)
async def test_a_refused_backup_leaves_no_schema_behind(
    source: Database,
    servers: dict[int, TestServer],
    tmp_path: Path,
    change: dict[str, Any],
    words: str,
) -> None:
    path = tmp_path / "backup"
    await fill(source)
    await source.dump(path)
    good = path.read_bytes()
    rewritten(path, change)
    engine = create_engine(Settings(url=servers[18].empty()).for_migrations())
    try:
        with pytest.raises(InvalidBackup, match=words):
            await restore(engine, path)
        assert await migrations.current(engine) is None
        async with engine.connect() as connection:
            tables = "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace"
            assert list(await connection.scalars(text(tables))) == []
        path.write_bytes(good)
        await restore(engine, path)
        async with engine.connect() as connection:
            assert await rows_of(connection, TABLES) == await rows(source)
    finally:
        await engine.dispose()


async def test_a_refused_backup_leaves_the_schema_to_a_program_that_wrote_rows_meanwhile(
    source: Database,
    servers: dict[int, TestServer],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path, url = tmp_path / "backup", servers[18].empty()
    await source.dump(path)
    engine = create_engine(Settings(url=url).for_migrations())
    migrate = migrations.migrate

    async def migrate_and_write(*arguments: Any, **named: Any) -> str:
        reached = await migrate(*arguments, **named)
        async with Database.from_url(url) as database, database.unit_of_work() as uow:
            uow.reviews.add(ReviewFactory.build())
            await uow.commit()
        return reached

    monkeypatch.setattr(migrations, "migrate", migrate_and_write)
    try:
        with pytest.raises(InvalidBackup, match="the database has rows already, in reviews"):
            await restore(engine, path)
    finally:
        await engine.dispose()
    async with Database.from_url(url) as database, database.reader() as view:
        assert await view.reviews.count() == 1


async def test_a_database_without_a_schema_cannot_be_dumped(
    servers: dict[int, TestServer], tmp_path: Path
) -> None:
    engine: AsyncEngine = create_engine(Settings(url=servers[18].empty()))
    try:
        with pytest.raises(SchemaOutdated, match=r"revision \(none\)"):
            await dump(engine, tmp_path / "backup")
    finally:
        await engine.dispose()
    assert names(tmp_path) == []
