"""Migrating up and down: created objects, records, and refusals."""

from __future__ import annotations

import traceback
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from pgvector import Vector
from sqlalchemy import bindparam, column, select, table, text

from domain import metadata
from domain.errors import ConfigurationError, EmbeddingMismatch, MigrationFailed, SchemaOutdated
from domain.schema.columns import EmbeddingColumn
from repositories import migrations
from repositories.migrations import SchemaOptions, requirements
from repositories.migrations.environment import scripts
from repositories.postgres.settings import Settings
from repositories.sql.vector_index import IndexForm
from tests.integration.migrations.support import (
    AFTER_NEXT,
    HEAD,
    NEXT,
    Schema,
    as_superuser,
    execute,
    newest,
    opened,
    scalar,
    write_revision,
)

if TYPE_CHECKING:
    from pathlib import Path

    from pydantic import SecretStr
    from sqlalchemy.ext.asyncio import AsyncEngine

    from repositories.testing.servers import TestServer

REVISIONS = [f"{number:04d}" for number in range(1, int(HEAD) + 1)]
TABLES = "SELECT array_agg(tablename::text) FROM pg_tables WHERE schemaname = 'public'"
SECRET = "canary-7Qx"

INDEXES = {
    256: "USING hnsw (embedding vector_cosine_ops) WITH (m='8', ef_construction='32')",
    1024: "USING hnsw (embedding vector_cosine_ops) WITH (m='8', ef_construction='32')",
    3072: "USING hnsw (((embedding)::halfvec(3072)) halfvec_cosine_ops) WITH (m='8', "
    "ef_construction='32')",
    4096: "USING hnsw (((binary_quantize(embedding))::bit(4096)) bit_hamming_ops) WITH (m='8', "
    "ef_construction='32')",
}


@newest
async def test_every_revision_goes_up_and_down(
    empty: AsyncEngine, server: TestServer, empty_url: SecretStr
) -> None:
    schema = Schema(server, empty_url)
    states = [schema.dump()]
    for revision in REVISIONS:
        assert await migrations.migrate(empty, revision="+1") == revision
        states.append(schema.dump())
    assert len(set(states)) == len(states)
    assert await migrations.current(empty) == HEAD == migrations.head()
    for before in [*reversed(REVISIONS[:-1]), None]:
        states.pop()
        assert await migrations.rollback(empty) == before
        assert schema.dump() == states[-1]


async def test_rolled_back_to_base_and_migrated_again_the_schema_is_identical(
    empty: AsyncEngine, server: TestServer, empty_url: SecretStr
) -> None:
    schema = Schema(server, empty_url)
    await execute(
        empty,
        "CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY)",
        "INSERT INTO alembic_version VALUES ('of another application')",
        "CREATE TABLE users (id int PRIMARY KEY)",
    )
    nothing = schema.dump()
    await migrations.migrate(empty)
    assert await migrations.check(empty) == [], "tables of others are left alone"
    everything = schema.dump()
    assert all(f"CREATE TABLE public.{name} (" in everything for name in metadata.tables)
    assert await migrations.rollback(empty, "base") is None
    assert schema.dump() == nothing
    assert sorted(await scalar(empty, TABLES)) == ["alembic_version", "users"]
    assert (
        await scalar(empty, "SELECT version_num FROM alembic_version") == "of another application"
    )
    await migrations.migrate(empty)
    assert schema.dump() == everything


@newest
async def test_migrating_and_rolling_back_what_is_there_already_changes_nothing(
    empty: AsyncEngine,
) -> None:
    assert await migrations.rollback(empty) is None
    assert await migrations.current(empty) is None
    await migrations.migrate(empty, revision="0002")
    assert await migrations.migrate(empty, revision="0001") == "0002"
    assert await migrations.rollback(empty, "0002") == "0002"


@pytest.mark.parametrize("dimensions", INDEXES)
async def test_the_vector_index_is_the_one_that_fits_the_dimension_and_searches_use_it(
    empty: AsyncEngine, dimensions: int
) -> None:
    await migrations.migrate(
        empty,
        SchemaOptions(dimensions=dimensions, hnsw_m=8, hnsw_ef_construction=32),
        revision="0003",
    )
    form = IndexForm.for_dimensions(dimensions)
    for name in ("knowledge", "learning_memories"):
        definition = await scalar(
            empty, "SELECT pg_get_indexdef(to_regclass(:index))", index=f"ix_{name}_embedding"
        )
        assert (
            definition == f"CREATE INDEX ix_{name}_embedding ON public.{name} {INDEXES[dimensions]}"
        )
        embedding = table(name, column("embedding", EmbeddingColumn(dimensions)), column("id")).c
        query = bindparam("query", type_=EmbeddingColumn())
        search = (
            select(embedding.id)
            .order_by(form.distance(embedding.embedding, query, dimensions))
            .limit(5)
        )
        explain = "EXPLAIN " + str(search.compile(dialect=empty.dialect))
        async with empty.connect() as connection:
            await connection.execute(text("SET LOCAL enable_seqscan = off"))
            plan = await connection.exec_driver_sql(explain, (Vector([1.0] * dimensions), 5))
            assert f"Index Scan using ix_{name}_embedding" in str(plan.all())


@newest
async def test_how_the_database_embeds_is_recorded_and_later_options_have_to_agree(
    empty: AsyncEngine,
) -> None:
    options = SchemaOptions(dimensions=256, provider="acme", model="small")
    await migrations.migrate(empty, options, revision="0001")
    recorded = "SELECT (provider, model, dimensions, metric)::text FROM embedding_metadata"
    assert await scalar(empty, recorded) == "(acme,small,256,cosine)"

    for wrong, field in (
        (SchemaOptions(dimensions=512), "dimensions"),
        (SchemaOptions(dimensions=256, model="large"), "model"),
        (SchemaOptions(dimensions=256, provider="other"), "provider"),
        (
            SchemaOptions.from_settings(Settings(host="localhost", embedding_dimensions=512)),
            "dimensions",
        ),
    ):
        with pytest.raises(EmbeddingMismatch) as refusal:
            await migrations.migrate(empty, wrong)
        assert refusal.value.field == field
    with pytest.raises(ConfigurationError, match="keyword search is 'english', not 'german'"):
        await migrations.migrate(empty, SchemaOptions(dimensions=256, language="german"))
    assert await migrations.current(empty) == "0001"

    assert await migrations.migrate(empty, revision="0002") == "0002"
    assert await migrations.migrate(empty, options, revision="0003") == "0003"
    assert (
        await migrations.migrate(empty, SchemaOptions.from_settings(Settings(host="localhost")))
        == HEAD
    )
    assert (
        await scalar(
            empty,
            "SELECT atttypmod FROM pg_attribute WHERE attrelid = 'learning_memories'::regclass "
            "AND attname = 'embedding'",
        )
        == 256
    )


@newest
async def test_the_language_is_the_generated_columns(empty: AsyncEngine) -> None:
    with pytest.raises(ConfigurationError, match="no text search configuration 'klingon'"):
        await migrations.migrate(empty, SchemaOptions(language="klingon"))
    await migrations.migrate(empty, SchemaOptions(language="german", dimensions=8))
    await execute(
        empty,
        "INSERT INTO knowledge (id, chunk_id, source, source_type, content, content_hash)"
        " VALUES (gen_random_uuid(), 'a', 'a', 'doc', 'die Häuser', '')",
    )
    assert await scalar(empty, "SELECT search_vector::text FROM knowledge") == "'haus':2C"
    assert await migrations.check(empty) == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"dimensions": 0},
        {"dimensions": 16_001},
        {"hnsw_m": 1},
        {"hnsw_m": 40, "hnsw_ef_construction": 64},
        {"hnsw_ef_construction": 1001},
        {"metric": "l2"},
        {"model": ""},
        {"provider": "\0"},
        {"language": "english'); DROP TABLE knowledge; --"},
    ],
)
def test_options_that_cannot_be_are_refused(wrong: dict[str, int | str]) -> None:
    with pytest.raises(ConfigurationError, match="must be"):
        SchemaOptions(**wrong)  # type: ignore[arg-type]  # some are of the wrong type for some


@newest
async def test_the_lexemes_of_a_row_are_stored_in_it(migrated: AsyncEngine) -> None:
    storage = (
        "SELECT array_agg(c.relname::text ORDER BY c.relname) FROM pg_attribute"
        " JOIN pg_class c ON c.oid = attrelid WHERE attname = 'search_vector' AND attstorage = 'm'"
        " AND c.relname IN ('knowledge', 'learning_memories', 'findings')"
    )
    assert await scalar(migrated, storage) == ["findings", "knowledge", "learning_memories"]


async def test_an_event_of_any_month_finds_its_partition(migrated: AsyncEngine) -> None:
    for moment in ("1999-12-31", "2099-01-01"):
        await execute(
            migrated,
            "INSERT INTO telemetry_events (id, repo, event_type, model, conclusion, created_at)"
            f" VALUES (gen_random_uuid(), 'a/b', 'review', 'm', 'ok', '{moment}')",
        )
    assert await scalar(migrated, "SELECT count(*) FROM telemetry_events_default") == 2


@newest
async def test_a_failure_names_the_revision_keeps_those_before_and_repeats_no_row(
    migrated: AsyncEngine, tmp_path: Path
) -> None:
    await execute(
        migrated,
        "INSERT INTO global_patterns VALUES (gen_random_uuid(), 'major', 'style', 'low', "
        f"'{SECRET}', 1)",
    )
    write_revision(tmp_path, "op.execute('CREATE TABLE first (id int)')")
    narrower = "ALTER TABLE global_patterns ADD CHECK (pattern_fingerprint IS NULL)"
    both = f"op.execute('CREATE TABLE second (id int)')\n    op.execute('{narrower}')"
    write_revision(tmp_path, both, revision=AFTER_NEXT, down_revision=NEXT)
    refused = f"^revision {AFTER_NEXT} failed: a value violates the check .+ of global_patterns$"
    with pytest.raises(MigrationFailed, match=refused) as failure:
        await migrations.migrate(migrated, directory=tmp_path)
    assert SECRET not in "".join(traceback.format_exception(failure.value))
    assert await migrations.current(migrated) == NEXT
    assert {"first", "second"} & set(await scalar(migrated, TABLES)) == {"first"}

    write_revision(
        tmp_path,
        "op.execute('ALTER TABLE global_patterns ALTER pattern_fingerprint TYPE int USING "
        "pattern_fingerprint::int')",
        revision=AFTER_NEXT,
        down_revision=NEXT,
    )
    with pytest.raises(MigrationFailed, match="a value is not valid text for its type") as failure:
        await migrations.migrate(migrated, directory=tmp_path)
    assert SECRET not in "".join(traceback.format_exception(failure.value))

    write_revision(
        tmp_path,
        "op.execute('ALTER TABLE nowhere ADD a int')",
        revision=AFTER_NEXT,
        down_revision=NEXT,
    )
    with pytest.raises(
        MigrationFailed,
        match=rf'^revision {AFTER_NEXT} failed: relation "nowhere" does not exist \(42P01\)$',
    ):
        await migrations.migrate(migrated, directory=tmp_path)


@newest
async def test_a_rollback_that_fails_names_the_revision_and_keeps_those_below(
    migrated: AsyncEngine, tmp_path: Path
) -> None:
    write_revision(tmp_path, "pass", downgrade="op.execute('DROP TABLE nowhere')")
    write_revision(tmp_path, "pass", revision=AFTER_NEXT, down_revision=NEXT)
    await migrations.migrate(migrated, directory=tmp_path)
    with pytest.raises(MigrationFailed, match=f"^taking back revision {NEXT} failed: table "):
        await migrations.rollback(migrated, HEAD, directory=tmp_path)
    assert await migrations.current(migrated) == NEXT


def test_the_newest_file_is_the_head_of_all_revisions() -> None:
    assert migrations.head() == scripts().get_current_head()


@newest
async def test_many_revisions_execute_a_file_as_often_as_one_does(
    empty: AsyncEngine, tmp_path: Path
) -> None:
    executed = tmp_path / "executed"
    file = write_revision(tmp_path, "pass")
    with file.open("a") as source:
        source.write(f"\nwith open({str(executed)!r}, 'a') as count:\n    count.write('.')\n")
    await migrations.migrate(empty, revision=HEAD, directory=tmp_path)
    of_many = executed.stat().st_size
    executed.unlink()
    await migrations.migrate(empty, directory=tmp_path)
    assert 0 < of_many <= executed.stat().st_size


@newest
async def test_a_revision_that_does_not_exist_is_refused(migrated: AsyncEngine) -> None:
    for revision in ("9999", "+1", "nonsense"):
        with pytest.raises(ConfigurationError, match=f"is not above {HEAD}: `recollect db status`"):
            await migrations.migrate(migrated, revision=revision)
    for revision in ("9999", f"-{int(HEAD) + 1}", "+1"):
        with pytest.raises(ConfigurationError, match=f"is not below {HEAD}: `recollect db status`"):
            await migrations.rollback(migrated, revision)


@newest
async def test_text_that_is_not_a_revision_is_refused(migrated: AsyncEngine) -> None:
    for revision in ("", " ", "-", "-1.5", "-1x", "0018:0019"):
        with pytest.raises(ConfigurationError, match=r"is not a revision: write 'head'"):
            await migrations.migrate(migrated, revision=revision)
        with pytest.raises(ConfigurationError, match=r"is not a revision: write 'head'"):
            await migrations.rollback(migrated, revision)
    assert await migrations.current(migrated) == HEAD


@newest
async def test_a_database_that_is_ahead_is_not_touched(migrated: AsyncEngine) -> None:
    await execute(migrated, "UPDATE recollect_version SET version_num = '0099'")
    for refused in (
        migrations.migrate(migrated),
        migrations.rollback(migrated),
        migrations.check(migrated),
    ):
        with pytest.raises(SchemaOutdated) as error:
            await refused
        assert (error.value.current, error.value.expected) == ("0099", HEAD)


@newest
async def test_without_the_extension_an_administrator_is_asked_for(
    server: TestServer, empty_url: SecretStr
) -> None:
    async with opened(as_superuser(server, empty_url)) as admin, opened(empty_url) as engine:
        await execute(admin, "DROP EXTENSION vector")
        with pytest.raises(
            MigrationFailed, match="an administrator has to run CREATE EXTENSION vector in it"
        ):
            await migrations.migrate(engine)
        assert await scalar(engine, "SELECT to_regclass('embedding_metadata')") is None
        assert await migrations.migrate(admin) == HEAD
        assert await migrations.check(admin) == []


@newest
async def test_old_servers_and_old_extensions_are_refused(
    server: TestServer, empty_url: SecretStr, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(as_superuser(server, empty_url)) as admin, opened(empty_url) as engine:
        for version in ("0.8.3", "0.7.4"):
            await execute(
                admin, f"UPDATE pg_extension SET extversion = '{version}' WHERE extname = 'vector'"
            )
            with pytest.raises(
                MigrationFailed,
                match=rf"pgvector 0.8.4 or newer is needed, and this database has {version}",
            ):
                await migrations.migrate(engine)
        await execute(
            admin, "UPDATE pg_extension SET extversion = '0.10.0' WHERE extname = 'vector'"
        )
        assert await migrations.migrate(engine, revision="0001") == "0001"
        monkeypatch.setattr(requirements, "OLDEST_POSTGRESQL", 19)
        with pytest.raises(
            MigrationFailed,
            match=f"PostgreSQL 19 or newer is needed, and this server is {server.server.version}",
        ):
            await migrations.migrate(engine)


@newest
async def test_a_role_that_may_not_create_raises_a_clear_error(
    server: TestServer, empty_url: SecretStr
) -> None:
    async with opened(as_superuser(server, empty_url)) as admin, opened(empty_url) as engine:
        await execute(
            admin,
            "ALTER SCHEMA public OWNER TO postgres",
            "REVOKE CREATE ON SCHEMA public FROM PUBLIC",
        )
        with pytest.raises(
            MigrationFailed,
            match=r"^revision 0001 failed: permission denied for schema public \(42501\)$",
        ):
            await migrations.migrate(engine, deadline=timedelta(seconds=5))
