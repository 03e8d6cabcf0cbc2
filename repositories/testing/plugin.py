"""A pytest plugin: fixtures for services that keep their memory in Recollect.

`fake_database` and `fake_uow` need no server. `recollect_database` is a migrated PostgreSQL database, cloned for each worker from a
template and emptied after each test; `recollect_uow` is a unit of work on it that is discarded. The options `--recollect-postgres`
and `--recollect-dimensions` choose the server's version and the embeddings' dimension.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

if TYPE_CHECKING:
    from pydantic import SecretStr

    from repositories import Database, FakeDatabase, UnitOfWork
    from repositories.fakes import FakeUnitOfWork
    from repositories.testing.servers import TestServer


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the plugin's options."""
    group = parser.getgroup("recollect")
    group.addoption("--recollect-postgres", type=int, default=18, help="major version of the embedded PostgreSQL (16 or 18)")
    group.addoption("--recollect-dimensions", type=int, default=1024, help="dimension of the embeddings in the test database")


def shared_folder(factory: pytest.TempPathFactory) -> Path:
    """Return the folder that all workers of this session share."""
    base = factory.getbasetemp()
    return base.parent / f"{base.parent.name}-recollect" if base.name.startswith("popen-") else base / "recollect"


@pytest.fixture
def fake_database(request: pytest.FixtureRequest) -> FakeDatabase:
    """A database in memory, empty for each test."""
    from repositories.fakes import FakeDatabase

    return FakeDatabase(dimensions=request.config.getoption("--recollect-dimensions"))


@pytest_asyncio.fixture
async def fake_uow(fake_database: FakeDatabase) -> AsyncIterator[FakeUnitOfWork]:
    """A unit of work in memory; what it does not commit is discarded."""
    async with fake_database.unit_of_work() as uow:
        yield uow


@pytest.fixture(scope="session")
def recollect_server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestServer]:
    """The embedded server of this session, shared by its workers."""
    from repositories.testing.servers import TestServer

    server = TestServer(
        shared_folder(tmp_path_factory),
        version=request.config.getoption("--recollect-postgres"),
        embedding_dimensions=request.config.getoption("--recollect-dimensions"),
    )
    yield server
    server.close()


@pytest.fixture(scope="session")
def recollect_url(recollect_server: TestServer) -> SecretStr:
    """The URL of this worker's migrated database."""
    return recollect_server.clone()


@pytest_asyncio.fixture
async def recollect_database(recollect_url: SecretStr) -> AsyncIterator[Database]:
    """This worker's database, open; emptied after the test."""
    from repositories import Database
    from repositories.testing.tables import empty

    async with Database.from_url(recollect_url) as database:
        yield database
        await empty(database)


@pytest_asyncio.fixture
async def recollect_uow(recollect_database: Database) -> AsyncIterator[UnitOfWork]:
    """A unit of work on PostgreSQL; what it does not commit is discarded."""
    async with recollect_database.unit_of_work() as uow:
        yield uow
