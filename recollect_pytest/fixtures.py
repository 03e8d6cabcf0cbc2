"""The plugin's fixtures; see `recollect_pytest`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from recollect_pytest import option, require_own_packages, shared_folder

if TYPE_CHECKING:
    from pydantic import SecretStr

    from domain import DatabasePort
    from repositories import Database, FakeDatabase, UnitOfWork
    from repositories.fakes import FakeUnitOfWork
    from repositories.testing.servers import TestServer


@pytest_asyncio.fixture
async def fake_database(pytestconfig: pytest.Config) -> AsyncIterator[FakeDatabase]:
    """A database in memory, empty for each test."""
    require_own_packages()
    from repositories.fakes import FakeDatabase

    async with FakeDatabase(dimensions=option(pytestconfig, "dimensions")) as database:
        yield database


@pytest_asyncio.fixture
async def fake_uow(fake_database: FakeDatabase) -> AsyncIterator[FakeUnitOfWork]:
    """A unit of work in memory; uncommitted changes are discarded."""
    async with fake_database.unit_of_work() as uow:
        yield uow


@pytest.fixture(scope="session")
def recollect_server(
    pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TestServer]:
    """The embedded server of this session, shared by its workers."""
    require_own_packages()
    from repositories.testing.servers import TestServer

    server = TestServer(
        shared_folder(tmp_path_factory) / "plugin",
        version=option(pytestconfig, "postgres"),
        embedding_dimensions=option(pytestconfig, "dimensions"),
    )
    yield server
    server.close()


@pytest.fixture(scope="session")
def recollect_url(recollect_server: TestServer) -> SecretStr:
    """The URL of this worker's migrated database."""
    return recollect_server.clone()


@pytest_asyncio.fixture
async def recollect_database(recollect_url: SecretStr) -> AsyncIterator[Database]:
    """This worker's database, open.

    After the test it is emptied, and its record of the embeddings is restored.
    """
    require_own_packages()
    from repositories import Database
    from repositories.testing.tables import create_application_tables, emptied

    async with Database.from_url(recollect_url) as database:
        await create_application_tables(database)
        async with emptied(database):
            yield database


@pytest_asyncio.fixture
async def recollect_uow(recollect_database: Database) -> AsyncIterator[UnitOfWork]:
    """A unit of work on PostgreSQL; uncommitted changes are discarded."""
    async with recollect_database.unit_of_work() as uow:
        yield uow


@pytest.fixture(params=["fake", "postgres"])
def recollect_store(request: pytest.FixtureRequest) -> DatabasePort:
    """The fake and PostgreSQL in turn: a test that uses it runs on both."""
    name = {"fake": "fake_database", "postgres": "recollect_database"}[request.param]
    store: DatabasePort = request.getfixturevalue(name)
    return store
