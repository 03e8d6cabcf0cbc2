"""Fixtures for every test.

PostgreSQL 18 and 16 are migrated once each and cloned for each worker.
"""

from __future__ import annotations

import gc
import os
import shutil
import signal
import socket
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest
import pytest_asyncio

from recollect_pytest import shared_folder

if TYPE_CHECKING:
    from pydantic import SecretStr

    from repositories import Database, UnitOfWork
    from repositories.testing.servers import TestServer

pytest.register_assert_rewrite("tests.contract.suites")

VERSIONS = (18, 16)
DIMENSIONS = 8
"""Few, so that a vector can be written down in a test."""

MEMORY, MEMORY_BYTES = Path("/dev/shm"), 8 * 2**30
"""A folder in memory, and the free space in it that is worth it; the tests take a fifth."""


FOLDERS = "recollect-tests-"
"""Prefix of the names of those folders; the id of the process follows."""


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Make programs that tests start interruptible, and use memory for temporary files.

    Collect garbage less often.
    """
    gc.set_threshold(20_000, 20, 50)
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # As a shell has it in the background; programs inherit that.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    _write_to_memory(config)


def _write_to_memory(config: pytest.Config) -> None:
    # Hundreds of databases are made and deleted.
    _remove_abandoned_folders()
    if (
        config.option.basetemp is None
        and MEMORY.is_dir()
        and shutil.disk_usage(MEMORY).free >= MEMORY_BYTES
    ):
        folder = tempfile.mkdtemp(prefix=f"{FOLDERS}{os.getpid()}-", dir=MEMORY)
        config.add_cleanup(partial(shutil.rmtree, folder, ignore_errors=True))
        # Some tests write programs and run them.
        if not os.statvfs(folder).f_flag & os.ST_NOEXEC:
            config.option.basetemp = folder


def _remove_abandoned_folders() -> None:
    # A killed run leaves gigabytes of memory in use.
    for folder in MEMORY.glob(f"{FOLDERS}*"):
        process = folder.name.removeprefix(FOLDERS).partition("-")[0]
        if process.isdecimal() and not psutil.pid_exists(int(process)):
            shutil.rmtree(folder, ignore_errors=True)


def free_port() -> int:
    """Return a free port of this machine."""
    with closing(socket.socket()) as probing:
        probing.bind(("127.0.0.1", 0))
        return int(probing.getsockname()[1])


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[int, TestServer]]:
    """Return the embedded servers by version; the first test that uses one starts it."""
    from repositories.testing.servers import TestServer

    folder = shared_folder(tmp_path_factory)
    servers = {
        version: TestServer(folder, version=version, embedding_dimensions=DIMENSIONS)
        for version in VERSIONS
    }
    yield servers
    for server in servers.values():
        server.close()


@pytest.fixture(
    scope="session", params=VERSIONS, ids=[f"postgres-{version}" for version in VERSIONS]
)
def server(servers: dict[int, TestServer], request: pytest.FixtureRequest) -> TestServer:
    """The server of each version in turn."""
    return servers[request.param]


@pytest.fixture(scope="session")
def database_url(server: TestServer) -> SecretStr:
    """This worker's migrated database on that server."""
    return server.clone()


@pytest_asyncio.fixture(scope="session")
async def opened(database_url: SecretStr) -> AsyncIterator[Database]:
    """That database, open as long as the worker needs it."""
    from repositories import Database

    async with Database.from_url(database_url) as database:
        yield database


@pytest_asyncio.fixture
async def database(opened: Database) -> AsyncIterator[Database]:
    """The open database, empty."""
    from repositories.testing.tables import emptied

    async with emptied(opened):
        yield opened


@pytest_asyncio.fixture
async def uow(database: Database) -> AsyncIterator[UnitOfWork]:
    """A unit of work that is discarded after the test."""
    async with database.unit_of_work() as uow:
        yield uow


def pytest_collection_finish() -> None:
    """Leave what collecting the tests made, which stays, out of every later garbage collection."""
    gc.collect()
    gc.freeze()
