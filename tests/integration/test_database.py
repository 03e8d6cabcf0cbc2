"""Opening a database: refused databases, health, and clean-up."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest
from pydantic import SecretStr
from sqlalchemy import text

from domain import (
    AccessDenied,
    ConfigurationError,
    DatabaseUnavailable,
    InvalidInput,
    KnowledgeChunk,
    PoolExhausted,
    ReadOnly,
    Review,
    SchemaOutdated,
    UnitOfWorkClosed,
    Vector,
    where,
)
from repositories import Database, migrations
from repositories.testing.factories import KnowledgeChunkFactory

if TYPE_CHECKING:
    from repositories.testing.servers import TestServer


async def test_a_database_without_a_schema_is_refused_with_the_remedy(server: TestServer) -> None:
    url = server.empty()
    with pytest.raises(SchemaOutdated, match="recollect db migrate") as refusal:
        async with Database.from_url(url):
            pass
    assert refusal.value.current is None


async def test_a_database_that_is_not_open_is_migrated(server: TestServer) -> None:
    database = Database.from_url(server.empty(), embedding_dimensions=3)
    assert await database.migrate() == migrations.head()
    async with database, database.reader() as view:
        assert await view.reviews.count() == 0


async def test_migrating_on_the_way_makes_it_usable(server: TestServer) -> None:
    async with Database.from_url(server.empty(), migrate=True, embedding_dimensions=3) as database:
        async with database.unit_of_work() as uow:
            uow.knowledge.add(
                KnowledgeChunk(
                    chunk_id="a",
                    source="a",
                    source_type="doc",
                    content="a",
                    embedding=Vector([1.0, 0.0, 0.0]),
                )
            )
            await uow.commit()
        assert (await database.health()).healthy


async def test_health_names_versions_revision_dimensions_and_pool(database: Database) -> None:
    health = await database.health()
    assert health.healthy
    assert health.server_version.split(".")[0] in {"16", "18"}
    assert health.pgvector_version is not None
    assert health.revision == health.expected_revision
    assert health.dimensions == 8
    assert health.pool.size == 20
    assert health.pool.checked_out == 0


async def test_health_says_what_to_do_about_what_is_wrong(server: TestServer) -> None:
    async with Database.from_url(server.clone()) as database:
        async with database.engine.begin() as connection:
            await connection.execute(text("DELETE FROM embedding_metadata"))
        problems = (await database.health()).problems
    assert [problem.remedy for problem in problems] == [
        "record it with uow.embedding_metadata.set()"
    ]


ODD_DEFAULTS = {
    "standard_conforming_strings": "off",
    "DateStyle": "'German, DMY'",
    "IntervalStyle": "sql_standard",
    "bytea_output": "escape",
    "extra_float_digits": "-5",
    "array_nulls": "off",
    "transform_null_equals": "on",
    "default_text_search_config": "german",
    "default_transaction_isolation": "serializable",
    "plan_cache_mode": "force_generic_plan",
}


@pytest.mark.parametrize("migrated", [True, False])
async def test_the_defaults_of_a_database_change_nothing(
    server: TestServer, migrated: bool
) -> None:
    url = server.clone() if migrated else server.empty()
    admin = await asyncpg.connect(url.get_secret_value())
    name = await admin.fetchval("SELECT current_database()")
    for setting, value in ODD_DEFAULTS.items():
        await admin.execute(f"ALTER DATABASE {name} SET {setting} = {value}")
    await admin.close()
    text_of_chunk = r"Run C:\tools\d+.exe, 'quoted', with \x41 for retries of e-mails and a_b."
    async with Database.from_url(url, migrate=not migrated, embedding_dimensions=8) as database:
        async with database.unit_of_work() as uow:
            chunk = KnowledgeChunkFactory.build(content=text_of_chunk, metadata_={"a\\b": r"c\d"})
            await uow.knowledge.upsert_many([chunk])
            await uow.commit()
        async with database.reader() as view:
            for query in ("a_b", "retry", r"C:\tools\d+.exe", "e-mails"):
                (hit,) = await view.knowledge.keyword_search(query)
                assert hit.item.content == text_of_chunk
            for condition in (
                where("content").contains_text(r"\d+"),
                where("metadata", "a\\b").starts_with("c\\"),
            ):
                assert await view.knowledge.count(condition) == 1
        assert not await migrations.check(database.engine)


async def test_health_says_that_a_database_refuses_writes(server: TestServer) -> None:
    url = server.clone()
    admin = await asyncpg.connect(url.get_secret_value())
    name = await admin.fetchval("SELECT current_database()")
    await admin.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    await admin.close()
    async with Database.from_url(url) as database:
        (problem,) = (await database.health()).problems
        assert problem.what == "default_transaction_read_only is on, so that every write is refused"
        with pytest.raises(ReadOnly, match="the role has default_transaction_read_only"):
            async with database.unit_of_work() as uow:
                await uow.knowledge.upsert_many([KnowledgeChunkFactory.build()])


async def test_a_tenant_that_deletes_all_its_chunks_changes_nothing_for_others(
    server: TestServer, tmp_path: Path
) -> None:
    url = server.clone()
    async with Database.from_url(url) as database:
        async with database.unit_of_work(tenant="other") as uow:
            await uow.embedding_metadata.set(provider="p", model="m", dimensions=8)
            await uow.commit()
        async with database.unit_of_work() as uow:
            await uow.knowledge.reset()
            await uow.commit()
        await database.dump(tmp_path / "backup")
        assert not (await database.health()).problems
    async with Database.from_url(url) as database, database.reader(tenant="other") as view:
        assert (await view.embedding_metadata.get()).model == "m"


async def test_an_unknown_language_is_refused(database_url: SecretStr) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        async with Database.from_url(database_url, language="klingon"):
            pass
    assert refusal.value.setting == "language"


async def test_a_closed_port_is_one_error_with_host_port_and_cause_after_the_deadline() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        settings = {
            "host": "127.0.0.1",
            "port": port,
            "password": "canary-secret",
            "connect_deadline": timedelta(seconds=0.5),
        }
        with pytest.raises(DatabaseUnavailable, match="refused") as refusal:
            async with Database.from_env(**settings):
                pass
    assert (refusal.value.host, refusal.value.port) == ("127.0.0.1", port)
    assert "canary-secret" not in str(refusal.value)


async def test_a_wrong_password_is_reported_at_once(database_url: SecretStr) -> None:
    wrong = database_url.get_secret_value().replace("recollect:", "recollect:not", 1)
    loop = asyncio.get_running_loop()
    began = loop.time()
    with pytest.raises(AccessDenied):
        async with Database.from_url(wrong):
            pass
    assert loop.time() - began < 5


async def test_an_exhausted_pool_says_its_figures(database_url: SecretStr) -> None:
    alone = Database.from_url(database_url, pool_size=1, max_overflow=0, pool_timeout=0.2)
    async with alone as database, database.reader():
        with pytest.raises(PoolExhausted) as refusal:
            async with database.reader():
                pass
    assert refusal.value.figures["checked_out"] == 1


async def test_a_closed_database_is_refused_and_closing_twice_is_fine(
    database_url: SecretStr,
) -> None:
    database = Database.from_url(database_url)
    with pytest.raises(UnitOfWorkClosed):
        database.unit_of_work()
    async with database:
        pass
    await database.close()
    with pytest.raises(UnitOfWorkClosed):
        database.reader()


async def test_a_tenant_is_checked_before_anything_is_asked(database: Database) -> None:
    for tenant in ("", "a b", "a" * 101, "a'--", "ä", "a\n"):
        with pytest.raises(InvalidInput):
            database.unit_of_work(tenant=tenant)


async def test_tasks_refuse_numbers_and_times_outside_their_bounds_before_any_work(
    database: Database,
) -> None:
    load = database.initial_load
    refused: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
        "within": (partial(database.vacuum, KnowledgeChunk), (timedelta(0), timedelta(days=25))),
        "memory_mb": (lambda **values: load(KnowledgeChunk, **values), (0, -1, 10**30, "1")),
        "workers": (lambda **values: load(KnowledgeChunk, **values), (-1, 10**30, "1")),
        "sample": (database.vector_index_health, (0, -1, 10**30, "1")),
        "max_unpacked": (partial(database.restore, "backup"), (-1, "1")),
        "ahead": (database.maintain, (-1, 10**30, "1", None)),
    }
    for field, (call, values) in refused.items():
        for value in values:
            with pytest.raises(InvalidInput, match=f"{field} must be .*, not ") as refusal:
                await call(**{field: value})
            assert refusal.value.field == field
    assert (await database.health()).healthy


async def test_the_name_of_an_index_is_a_name_and_no_sql(database: Database) -> None:
    for name in ('x"; SELECT 1 --', "a:b", "%s", ""):
        with pytest.raises(InvalidInput, match="recollect doctor") as refusal:
            await database.rebuild_index(name)
        assert refusal.value.field == "name"


async def test_an_embedded_database_keeps_its_data(tmp_path: Path) -> None:
    for expected in (1, 2):
        async with Database.embedded(tmp_path / "data", embedding_dimensions=8) as database:
            async with database.unit_of_work() as uow:
                uow.reviews.add(Review(repo="acme/api", pr_number=7))
                await uow.commit()
            async with database.reader() as view:
                assert await view.reviews.count() == expected


OPENS = """
import asyncio, sys
from repositories import Database

async def main():
    async with Database.from_url(sys.argv[1]) as database, database.reader() as view:
        print(await view.reviews.count(), "alembic" in sys.modules)

asyncio.run(main())
"""


def test_a_program_that_opens_a_database_does_not_load_alembic(database_url: SecretStr) -> None:
    command = [sys.executable, "-c", OPENS, database_url.get_secret_value()]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ran.stdout, ran.stderr) == ("0 False\n", "")
