"""A server with tables, and an engine of it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import asyncpg
import pytest

from repositories.embedded import EmbeddedServer
from repositories.postgres.settings import Settings
from tests.conftest import free_port
from tests.integration.engine.support import SCHEMA, opened

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from pydantic import SecretStr
    from sqlalchemy.ext.asyncio import AsyncEngine


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    folder = tmp_path_factory.mktemp("engine") / "data"
    with EmbeddedServer.start(
        folder, settings={"fsync": "off", "shared_buffers": "16MB"}, tcp_port=free_port()
    ) as running:
        yield running


@pytest.fixture(scope="session")
def url(postgres: EmbeddedServer) -> SecretStr:
    """A database with the tables of these tests."""
    created = postgres.create_database("engine_tests")

    async def fill() -> None:
        connection = await asyncpg.connect(created.get_secret_value())
        for statement in SCHEMA:
            await connection.execute(statement)
        await connection.close()

    asyncio.run(fill())
    return created


@pytest.fixture
async def engine(url: SecretStr) -> AsyncIterator[AsyncEngine]:
    async with opened(Settings(url=url, pool_size=2, max_overflow=1, pool_timeout=0.2)) as engine:
        yield engine
