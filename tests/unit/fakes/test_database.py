"""The fake database as a whole.

Its declarations, its lifetime, and its conformance to the ports.
"""

from __future__ import annotations

import gc
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydantic import ValidationError

from domain import (
    ConfigurationError,
    EmbeddingMismatch,
    InvalidInput,
    KnowledgeChunk,
    ReadUnitOfWork,
    UnitOfWork,
    Vector,
)
from repositories.fakes import FakeDatabase, FakeReader, FakeUnitOfWork

ROOT = Path(__file__).parents[3]


def is_a_unit_of_work(uow: FakeUnitOfWork) -> UnitOfWork:
    return uow


def is_a_reader(view: FakeReader) -> ReadUnitOfWork:
    return view


def chunk(dimensions: int) -> KnowledgeChunk:
    return KnowledgeChunk(
        chunk_id="a",
        source="s",
        source_type="doc",
        content="c",
        embedding=Vector([1.0] * dimensions),
    )


def test_type_checkers_take_the_fakes_for_what_the_ports_say() -> None:
    database = FakeDatabase()
    assert (
        is_a_unit_of_work(database.unit_of_work()).tenant
        == is_a_reader(database.reader()).tenant
        == "default"
    )


def test_importing_the_fakes_loads_no_driver_no_session_and_no_stemmer() -> None:
    loaded = "import sys, repositories.fakes; print(*sys.modules)"
    finished = subprocess.run(
        [sys.executable, "-c", loaded],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    unwanted = {
        "asyncpg",
        "alembic",
        "sqlalchemy.ext.asyncio",
        "snowballstemmer",
        "repositories.database",
    }
    assert set(finished.stdout.split()) & unwanted == set()


def accepts(dimensions: int) -> bool:
    try:
        chunk(dimensions)
    except ValidationError:
        return False
    return True


def test_entities_take_embeddings_of_its_dimension_as_long_as_it_lives() -> None:
    database = FakeDatabase(dimensions=5)
    assert accepts(5)
    assert not accepts(6)
    del database
    gc.collect()
    # Other tests may have a database open, but none of these dimensions.
    assert accepts(5) is accepts(6)


async def test_entities_take_embeddings_of_its_dimension_until_it_is_closed() -> None:
    database = FakeDatabase(dimensions=5)
    for _ in range(2):
        async with database:
            assert accepts(5)
            assert not accepts(6)
        await database.close()
        assert accepts(5) is accepts(6)


@pytest.mark.parametrize("dimensions", [0, 16_001])
def test_a_dimension_that_no_vector_has_is_refused(dimensions: int) -> None:
    with pytest.raises(ConfigurationError):
        FakeDatabase(dimensions=dimensions)


def test_a_tenant_that_is_no_name_is_refused() -> None:
    for open_unit in (FakeDatabase().unit_of_work, FakeDatabase().reader):
        with pytest.raises(InvalidInput):
            open_unit(tenant="a b")


async def test_how_it_embeds_is_recorded_from_the_start() -> None:
    now = datetime(2026, 1, 2, tzinfo=UTC)
    database = FakeDatabase(dimensions=5, provider="acme", model="words", clock=lambda: now)
    async with database.reader() as view:
        recorded = await view.embedding_metadata.get()
        assert (recorded.provider, recorded.model, recorded.dimensions, recorded.created_at) == (
            "acme",
            "words",
            5,
            now,
        )
        await view.embedding_metadata.check_compatible(provider="acme", model="words", dimensions=5)
    async with database.unit_of_work() as uow:
        with pytest.raises(EmbeddingMismatch):
            await uow.embedding_metadata.set(provider="acme", model="words", dimensions=6)


async def test_two_databases_share_nothing() -> None:
    async with FakeDatabase(dimensions=2).unit_of_work() as uow:
        await uow.knowledge.upsert_many([chunk(2)])
        await uow.commit()
    async with FakeDatabase(dimensions=2).reader() as view:
        assert await view.knowledge.count() == 0


async def test_a_fake_reports_its_health_and_its_open_units() -> None:
    database = FakeDatabase(dimensions=3, provider="p", model="m")
    assert database.pool_figures().checked_out == 0
    async with database.unit_of_work(), database.reader(), database.reader():
        assert database.pool_figures().checked_out == 1
        assert database.pool_figures(readers=True).checked_out == 2
        health = await database.health()
        assert (health.provider, health.model, health.dimensions) == ("p", "m", 3)
        assert health.healthy
    assert database.pool_figures(readers=True).checked_out == 0
