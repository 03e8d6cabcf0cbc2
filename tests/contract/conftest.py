"""The stores that the contract is run on: the fake, PostgreSQL 18 and PostgreSQL 16."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from tests.conftest import DIMENSIONS, VERSIONS

if TYPE_CHECKING:
    from pydantic import SecretStr

    from repositories import Database
    from repositories.testing.contract import Store
    from repositories.testing.servers import TestServer

STORES = {"fake": None, **{f"postgres-{version}": version for version in VERSIONS}}


@pytest.fixture(scope="session")
def clone(servers: dict[int, TestServer]) -> Callable[[int], SecretStr]:
    """Return the URL of this worker's database on the server of a version."""
    return cache(lambda version: servers[version].clone())


@pytest.fixture(params=STORES)
def store_url(request: pytest.FixtureRequest, clone: Callable[[int], SecretStr]) -> SecretStr | None:
    """Where the store is; the fake is nowhere."""
    version = STORES[request.param]
    return None if version is None else clone(version)


@pytest_asyncio.fixture
async def store(store_url: SecretStr | None) -> AsyncIterator[Store]:
    """Each store in turn, open and empty."""
    async with _fake() if store_url is None else _postgres(store_url) as store:
        yield store


@asynccontextmanager
async def _fake() -> AsyncIterator[Store]:
    from repositories.fakes import FakeDatabase

    async with FakeDatabase(dimensions=DIMENSIONS) as database:
        yield database


@asynccontextmanager
async def _postgres(url: SecretStr) -> AsyncIterator[Database]:
    from repositories import Database
    from repositories.testing.tables import empty

    async with Database.from_url(url) as database:
        recorded = await _recorded(database)
        yield database
        await empty(database)
        if recorded != await _recorded(database):
            # It is not emptied, and what a test has set is not what the next one expects.
            async with database.unit_of_work() as uow:
                await uow.embedding_metadata.set(**recorded)
                await uow.commit()


async def _recorded(database: Database) -> dict[str, Any]:
    async with database.reader() as view:
        found = await view.embedding_metadata.find()
    return {} if found is None else found.model_dump(include={"provider", "model", "dimensions"})


@pytest.fixture
def newest_url(clone: Callable[[int], SecretStr]) -> SecretStr:
    """Where PostgreSQL's newest version is, for what every version does alike."""
    return clone(max(VERSIONS))


@pytest_asyncio.fixture
async def postgres(newest_url: SecretStr) -> AsyncIterator[Database]:
    """A database there, open and empty."""
    async with _postgres(newest_url) as database:
        yield database
