"""The stores that the contract is run on: the fake, PostgreSQL 18 and PostgreSQL 16.

`RECOLLECT_CITUS_URL` adds a database on a cluster of Citus, by a connection to any of its nodes. It
is at the newest revision, with embeddings of 8 dimensions, and distributed. All its rows are
deleted.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from tests.conftest import DIMENSIONS, VERSIONS

if TYPE_CHECKING:
    from repositories import Database
    from repositories.testing.servers import TestServer
    from tests.contract.suites import Store

CALLERS = 16
"""Concurrent units of work; each has a connection that stays open in the pool."""
CITUS_URL = os.environ.get("RECOLLECT_CITUS_URL")
CITUS = -1
"""Stands for the version of that database's server."""

STORES = {
    "fake": None,
    **{f"postgres-{version}": version for version in VERSIONS},
    **({"citus": CITUS} if CITUS_URL else {}),
}


def pytest_itemcollected(item: pytest.Item) -> None:
    """Let `-k "not postgres"` leave out the tests that use the fixture of this name."""
    if isinstance(item, pytest.Function) and "postgres" in item.fixturenames:
        item.extra_keyword_matches.add("postgres")


@pytest_asyncio.fixture(scope="session")
async def lent(
    servers: dict[int, TestServer],
) -> AsyncIterator[Callable[[int], Awaitable[Database]]]:
    """Return this worker's database on the server of a version, open."""
    from repositories import Database
    from repositories.testing.tables import empty

    ready: dict[int, Database] = {}
    async with AsyncExitStack() as stack:

        async def open_unit(version: int) -> Database:
            if version not in ready:
                url = (
                    CITUS_URL
                    if CITUS_URL and version == CITUS
                    else await asyncio.to_thread(servers[version].clone)
                )
                ready[version] = await stack.enter_async_context(
                    Database.from_url(url, pool_size=CALLERS)
                )
                if version == CITUS:
                    await empty(ready[version])
            return ready[version]

        yield open_unit


@pytest_asyncio.fixture(params=STORES)
async def store(
    request: pytest.FixtureRequest, lent: Callable[[int], Awaitable[Database]]
) -> AsyncIterator[Store]:
    """Each store in turn, open and empty."""
    version = STORES[request.param]
    async with _fake() if version is None else emptied_postgres(await lent(version)) as store:
        yield store


@asynccontextmanager
async def _fake() -> AsyncIterator[Store]:
    from repositories.fakes import FakeDatabase

    async with FakeDatabase(dimensions=DIMENSIONS) as database:
        yield database


@asynccontextmanager
async def emptied_postgres(database: Database) -> AsyncIterator[Database]:
    """Lend a database on a server, and empty it afterwards."""
    from repositories.testing.tables import emptied

    async with emptied(database):
        yield database


@pytest_asyncio.fixture
async def postgres(lent: Callable[[int], Awaitable[Database]]) -> AsyncIterator[Database]:
    """Return an open, empty database on PostgreSQL's newest version."""
    async with emptied_postgres(await lent(max(VERSIONS))) as database:
        yield database
