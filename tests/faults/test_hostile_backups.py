"""Backups that an attacker wrote: refused, without a change, a hang or a blocked event loop."""

from __future__ import annotations

import asyncio
import os
import zlib
from struct import pack
from time import monotonic
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import text

from domain import (
    BackupDamaged,
    BackupError,
    CheckpointData,
    InvalidBackup,
    Review,
    ReviewCheckpoint,
    Vector,
)
from repositories import Database
from repositories.backup.tables import RECORD
from repositories.backup.writer import GZIP
from repositories.testing.factories import KnowledgeChunkFactory, TelemetryEventFactory
from tests.faults.conftest import Effort, Promises, on_the_newest
from tests.faults.hostile_backups import add_field, change_rows, rewrite, tables_of, write_bomb
from tests.processor_time import LONGEST_HOLD, holds_of_the_loop

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = on_the_newest

MIB = 2**20


async def write_reviews(database: Database, *repos: str, tenant: str = "default") -> None:
    async with database.unit_of_work(tenant=tenant) as uow:
        for repo in repos:
            uow.reviews.add(Review(repo=repo, pr_number=1))
        await uow.commit()


async def repos(database: Database, tenant: str = "default") -> list[str]:
    async with database.reader(tenant=tenant) as view:
        return sorted(one.repo for one in await view.reviews.list())


@pytest.fixture
async def backup(database: Database, tmp_path: Path) -> Path:
    await write_reviews(database, "acme/api")
    await database.dump(tmp_path / "backup")
    return tmp_path / "backup"


async def test_rows_of_another_tenant_than_the_manifest_says_are_refused(
    database: Database, tmp_path: Path, effort: Effort, promises: Promises
) -> None:
    path, times = tmp_path / "backup", effort.times(1, 10)
    await write_reviews(database, "own/repo", tenant="victim")
    await write_reviews(database, *(f"evil/{n}" for n in range(3)), tenant="guests")
    for _ in range(times):
        for replaced in (3, 1):
            await database.dump(path, tenant="guests")
            # Names of the same length keep the lengths in the COPY data true.
            rewrite(path, lambda body, n=replaced: body.replace(b"guests", b"victim", n))  # type: ignore[misc]
            with pytest.raises(InvalidBackup, match="reviews has rows of other tenants"):
                await database.restore(path, replace=True)
            assert await repos(database, "victim") == ["own/repo"]
            assert await repos(database, "guests") == ["evil/0", "evil/1", "evil/2"]
    # The control: the same rows in a backup whose manifest names this tenant are restored.
    rewrite(path, lambda body: body.replace(b"guests", b"victim"), tenant="victim")
    await database.restore(path, replace=True)
    restored = await repos(database, "victim")
    assert restored == ["evil/0", "evil/1", "evil/2"]
    promises(
        "A backup restores what was committed",
        f"0 of {2 * times} hostile backups of one tenant wrote rows of another",
        control=f"{len(restored)} of 3 of the same rows are restored if the manifest names them",
    )


@pytest.mark.parametrize("tenant", ["ab'cd", "ab\ncd", "ab\x1bcd"])
async def test_rows_of_a_tenant_whose_name_is_not_valid_are_refused(
    database: Database, tmp_path: Path, tenant: str
) -> None:
    path = tmp_path / "backup"
    await write_reviews(database, "acme/api", tenant="ab_cd")
    await database.dump(path)
    # A name of the same length keeps the lengths in the COPY data true.
    rewrite(path, lambda body: body.replace(b"ab_cd", tenant.encode()))
    with pytest.raises(InvalidBackup, match="reviews has rows of a tenant whose name is not valid"):
        await database.restore(path, replace=True)
    assert await repos(database, "ab_cd") == ["acme/api"]


@pytest.mark.parametrize("claims", ["the true size", "a small size", "an enormous size"])
async def test_a_body_that_unpacks_to_a_large_size_is_refused_quickly(
    database: Database, backup: Path, effort: Effort, claims: str
) -> None:
    size = effort.times(80, 2000) * MIB
    write_bomb(backup, size)
    if claims != "the true size":
        claimed = 1000 if claims == "a small size" else 2**40
        first, *others = tables_of(backup)
        tables = (first.model_copy(update={"bytes": claimed}), *others)
        write_bomb(backup, size, tables=tables)
    began = monotonic()
    holds: list[float] = []
    async with holds_of_the_loop(holds):
        with pytest.raises(BackupError, match=r"max_unpacked|more rows than its manifest"):
            await database.restore(backup, replace=True)
    assert monotonic() - began < 10
    assert holds[0] < LONGEST_HOLD
    assert await repos(database) == ["acme/api"]


async def test_a_large_body_neither_blocks_the_event_loop_nor_delays_a_cancellation(
    database: Database, backup: Path, effort: Effort, promises: Promises
) -> None:
    size = effort.times(300, 2000) * MIB
    write_bomb(backup, size)
    holds: list[float] = []
    async with holds_of_the_loop(holds):
        restoring = asyncio.create_task(
            database.restore(backup, replace=True, max_unpacked=2 * size)
        )
        await asyncio.sleep(0.1)
        assert not restoring.done()
        began = monotonic()
        restoring.cancel()
        with pytest.raises(asyncio.CancelledError):
            await restoring
        cancelled = monotonic() - began
    assert cancelled < 1
    assert holds[0] < LONGEST_HOLD
    zeros = zlib.compress(bytes(64 * MIB), wbits=GZIP)
    async with holds_of_the_loop(holds):
        zlib.decompress(zeros, GZIP)
    promises(
        "A backup restores what was committed",
        f"restoring {size // MIB:,} MiB blocks the event loop for {1000 * holds[0]:.0f} ms at"
        f" most, and a cancellation takes {1000 * cancelled:.0f} ms",
        control=f"unpacking 64 MiB at once blocks it for {1000 * holds[1]:.0f} ms",
    )


async def test_a_row_of_many_megabytes_does_not_block_the_event_loop_of_a_backup(
    database: Database, tmp_path: Path
) -> None:
    async with database.unit_of_work() as uow:
        await uow.telemetry.record(TelemetryEventFactory.build())
        await uow.commit()
    async with database.engine.begin() as connection:
        long = "SELECT string_agg(md5(n::text), '') FROM generate_series(1, 280_000) n"
        await connection.execute(text(f"UPDATE telemetry_events SET stop_reason = ({long})"))
    holds: list[float] = []
    async with holds_of_the_loop(holds):
        await database.dump(tmp_path / "backup")
    assert holds[0] < LONGEST_HOLD


async def test_rows_that_the_server_refuses_end_the_restore(
    database: Database, backup: Path
) -> None:
    # The server refuses the first piece, while many more follow.
    write_bomb(backup, 20 * MIB)
    for _ in range(2):
        with pytest.raises(BackupDamaged, match="cannot be read"):
            await asyncio.wait_for(
                database.restore(backup, replace=True, max_unpacked=100 * MIB), 60
            )
    assert await repos(database) == ["acme/api"]
    await write_reviews(database, "acme/web")


async def test_a_restore_that_is_cancelled_while_it_writes_changes_nothing(
    database: Database, tmp_path: Path, effort: Effort
) -> None:
    path = tmp_path / "backup"
    await write_reviews(database, *(f"acme/{n}" for n in range(2000)))
    await database.dump(path)
    before = await repos(database)
    for number in range(effort.times(5, 50)):
        restoring = asyncio.create_task(database.restore(path, replace=True))
        await asyncio.sleep(0.02 * number)
        restoring.cancel()
        began = monotonic()
        await asyncio.wait([restoring], timeout=30)
        assert restoring.done()
        assert monotonic() - began < 5
        assert await repos(database) == before
    assert (await database.restore(path, replace=True)).rows >= 2000


ESCAPE = "\x1b]0;owned\x07\x1b[2J"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("provider", "x" * 90_000),
        ("provider", "p\0"),
        ("model", "m" * 401),
        ("revision", f"0001{ESCAPE}"),
        ("tenant", f"acme{ESCAPE}"),
        ("metric", ESCAPE),
        ("language", "english'); DROP TABLE reviews; --"),
        ("postgresql", f"18{ESCAPE}"),
        ("pgvector", ESCAPE),
        ("dimensions", 0),
        ("dimensions", 10**9),
        ("hnsw_m", 10**6),
        ("hnsw_ef_construction", -1),
        ("body_sha256", ESCAPE),
    ],
    ids=lambda value: value if isinstance(value, str) and value.isidentifier() else "value",
)
async def test_a_manifest_with_hostile_values_is_refused_and_not_printed(
    database: Database, backup: Path, field: str, value: Any
) -> None:
    rewrite(backup, **{field: value})
    await _require_refusal(database, backup)


@pytest.mark.parametrize(
    ("name", "old", "new", "state"),
    [
        # A vector of 32,767 dimensions, and an integer of two bytes.
        ("knowledge", pack(">ihh", 36, 8, 0), pack(">ihh", 36, 32_767, 0), "54000"),
        ("reviews", pack(">ii", 4, 1), pack(">ih", 2, 1), "08P01"),
    ],
    ids=["a large vector", "a short integer"],
)
async def test_values_that_the_server_cannot_read_are_damaged(
    database: Database, tmp_path: Path, name: str, old: bytes, new: bytes, state: str
) -> None:
    path = tmp_path / "backup"
    await write_reviews(database, "acme/api")
    async with database.unit_of_work() as uow:
        uow.knowledge.add(KnowledgeChunkFactory.build(embedding=Vector([1.0] * 8)))
        await uow.commit()
    await database.dump(path)
    change_rows(path, name, lambda rows: rows.replace(old, new, 1))
    with pytest.raises(BackupDamaged, match=rf"the rows of {name} cannot be read \({state}\)"):
        await database.restore(path, replace=True)
    assert await repos(database) == ["acme/api"]


async def test_a_column_that_the_manifest_names_twice_is_refused(
    database: Database, backup: Path
) -> None:
    tables = tables_of(backup)
    for number, table in enumerate(tables):
        twice = table.model_copy(update={"columns": (*table.columns, table.columns[0])})
        rewrite(backup, tables=(*tables[:number], twice, *tables[number + 1 :]))
        with pytest.raises(InvalidBackup, match=rf"their tables or columns: {table.name}$"):
            await database.restore(backup, replace=True)
    again = tables[0].model_copy(update={"rows": 0, "bytes": 0})
    rewrite(backup, tables=(*tables, again))
    with pytest.raises(InvalidBackup, match=rf"their tables or columns: {tables[0].name}$"):
        await database.restore(backup, replace=True)


async def test_a_backup_without_the_record_of_how_it_embeds_is_refused(
    database: Database, backup: Path
) -> None:
    # The header and the trailer of COPY data without rows.
    change_rows(backup, RECORD, lambda rows: rows[:19] + b"\xff\xff", rows=0)
    with pytest.raises(InvalidBackup, match="embedding_metadata has no row"):
        await database.restore(backup, replace=True)
    assert await repos(database) == ["acme/api"]


async def test_a_provider_that_a_terminal_would_execute_is_refused(
    database: Database, backup: Path
) -> None:
    escape = b"\x1b]0;own\x07\x1b[J"  # as long as "unspecified"
    change_rows(backup, RECORD, lambda rows: rows.replace(b"unspecified", escape))
    rewrite(backup, provider=escape.decode(), model=escape.decode())
    with pytest.raises(BackupDamaged, match="manifest of the backup is not valid: provider, model"):
        await database.restore(backup, replace=True)


@pytest.mark.parametrize("change", [{"name": ESCAPE}, {"columns": (ESCAPE,)}, {"name": "x" * 64}])
async def test_tables_with_hostile_names_are_refused_and_not_printed(
    database: Database, backup: Path, change: dict[str, Any]
) -> None:
    first, *others = tables_of(backup)
    rewrite(backup, tables=(first.model_copy(update=change), *others))
    await _require_refusal(database, backup)


async def test_a_backup_of_a_thousand_other_tables_is_refused_in_a_short_sentence(
    database: Database, backup: Path
) -> None:
    first, *others = tables_of(backup)
    empty = first.model_copy(update={"columns": (), "rows": 0, "bytes": 0})
    names = (f"a{number:04}" for number in range(1000))
    many = (empty.model_copy(update={"name": name}) for name in names)
    rewrite(backup, tables=(first, *others, *many))
    with pytest.raises(InvalidBackup, match=r"a0000, .*, a0009 and 990 others$"):
        await database.restore(backup, replace=True)


async def test_a_named_pipe_is_refused_at_once(database: Database, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", "/dev/zero"):
        async with asyncio.timeout(10):
            with pytest.raises(BackupError, match="is not a file: copy the backup to one"):
                await database.restore(path)


async def test_a_manifest_with_unknown_fields_is_refused_and_not_printed(
    database: Database, backup: Path
) -> None:
    add_field(backup, ESCAPE)
    await _require_refusal(database, backup)


async def _require_refusal(database: Database, backup: Path) -> None:
    with pytest.raises(BackupError) as refusal:
        await database.restore(backup, replace=True)
    assert str(refusal.value).isprintable()
    assert len(str(refusal.value)) < 1000
    assert await repos(database) == ["acme/api"]


async def test_rows_that_contradict_the_manifest_are_refused(
    database: Database, backup: Path
) -> None:
    async with database.reader() as view:
        recorded = await view.embedding_metadata.get()
    rewrite(backup, model="another")
    with pytest.raises(InvalidBackup, match="model in the rows of the backup differs"):
        await database.restore(backup, replace=True)
    async with database.reader() as view:
        assert await view.embedding_metadata.get() == recorded


@pytest.mark.parametrize("action", ["CASCADE", "NO ACTION"])
@pytest.mark.parametrize("tenant", [None, "default"], ids=["all tenants", "one tenant"])
async def test_tables_of_an_application_that_refer_to_the_rows_are_named(
    database: Database, tmp_path: Path, action: str, tenant: str | None
) -> None:
    path = tmp_path / "backup"
    await write_reviews(database, "acme/api")
    await database.dump(path, tenant=tenant)
    create = (
        "CREATE TABLE deployments (tenant text, review_id uuid, FOREIGN KEY (tenant, review_id)"
        f" REFERENCES reviews (tenant, id) ON DELETE {action})"
    )
    async with database.engine.begin() as connection:
        await connection.execute(text(create))
        await connection.execute(text("INSERT INTO deployments SELECT tenant, id FROM reviews"))
    with pytest.raises(InvalidBackup, match=r"\(deployments to reviews\): drop these foreign keys"):
        await database.restore(path, replace=True)
    async with database.engine.begin() as connection:
        rows = await connection.scalar(text("SELECT count(*) FROM deployments"))
        await connection.execute(text("DROP TABLE deployments"))
    assert rows == 1
    await database.restore(path, replace=True)
    assert await repos(database) == ["acme/api"]


def _jsonb(text: str) -> bytes:
    return pack(">ib", len(text) + 1, 1) + text.encode()


@pytest.mark.parametrize(
    "hostile",
    [
        '{"k": ' + "[" * 3000 + "]" * 3000 + "}",
        '{"k": 1e99999}',
        '{"k": ' + "7" * 5000 + "}",
        '{"k": [' + "1," * 20_000 + "1]}",
        '["k"]',
        "7",
    ],
    ids=["deep", "a large exponent", "many digits", "many values", "an array", "a number"],
)
async def test_json_that_no_entity_accepts_is_refused(
    database: Database, tmp_path: Path, hostile: str
) -> None:
    path = tmp_path / "backup"
    async with database.unit_of_work() as uow:
        uow.knowledge.add(KnowledgeChunkFactory.build(metadata_={"known": "value"}))
        await uow.commit()
    await database.dump(path)
    valid, other = _jsonb('{"known": "value"}'), _jsonb(hostile)
    change_rows(path, "knowledge", lambda rows: rows.replace(valid, other, 1))
    with pytest.raises(
        InvalidBackup,
        match=r"knowledge has JSON in metadata that is of another.* in the row [0-9a-f-]{36}:",
    ):
        await database.restore(path, replace=True)
    async with database.reader() as view:
        assert [row.metadata_ for row in await view.knowledge.list()] == [{"known": "value"}]


async def test_json_that_a_restore_refuses_is_not_dumped(
    database: Database, tmp_path: Path
) -> None:
    chunk = KnowledgeChunkFactory.build(metadata_={"known": "value"})
    async with database.unit_of_work() as uow:
        uow.knowledge.add(chunk)
        await uow.commit()
    async with database.engine.begin() as connection:
        await connection.execute(
            text(
                "UPDATE knowledge SET metadata = jsonb_build_object('k', array_fill(1, '{10001}'))"
            )
        )
    with pytest.raises(BackupError, match=f"metadata .* in the row {chunk.id}, which a restore"):
        await database.dump(tmp_path / "backup")


async def test_a_checkpoint_that_no_entity_accepts_is_refused(
    database: Database, tmp_path: Path
) -> None:
    path = tmp_path / "backup"
    data = CheckpointData(files_reviewed=("a.py",))
    async with database.unit_of_work() as uow:
        await uow.checkpoints.save(
            ReviewCheckpoint(
                review_output_key="k", repo="acme/api", pr_number=1, checkpoint_data=data
            )
        )
        await uow.commit()
    await database.dump(path)
    change_rows(
        path,
        "review_checkpoints",
        lambda rows: rows.replace(b"files_reviewed", b"files_reviewee"),
    )
    with pytest.raises(InvalidBackup, match="review_checkpoints has JSON in checkpoint_data"):
        await database.restore(path, replace=True)


async def test_json_of_an_unknown_version_is_damaged(database: Database, tmp_path: Path) -> None:
    path = tmp_path / "backup"
    async with database.unit_of_work() as uow:
        uow.knowledge.add(KnowledgeChunkFactory.build(metadata_={"known": "value"}))
        await uow.commit()
    await database.dump(path)
    old = b'\x01{"known": "value"}'
    change_rows(path, "knowledge", lambda rows: rows.replace(old, b"\x09" + old[1:], 1))
    with pytest.raises(BackupDamaged, match=r"the rows of knowledge cannot be read \(XX000\)"):
        await database.restore(path, replace=True)
