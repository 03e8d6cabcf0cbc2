"""Embedded servers for a test session. Workers clone the migrated template database of each."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Any
from uuid import uuid4

from filelock import FileLock
from pydantic import SecretStr

from repositories.database import Database
from repositories.embedded import EmbeddedServer

TEMPLATE = "recollect_template"

# A test's data need not survive a power cut.
FAST_BUT_NOT_DURABLE: Mapping[str, str] = {
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "scram_iterations": "1",  # thousands of connections give a password that was drawn at random
    "max_connections": "200",  # four workers, each with sixteen callers at once and more
}


class TestServer:
    """One embedded PostgreSQL that all workers of a test session share.

    It has a template database at the newest revision.
    """

    __test__ = False

    def __init__(self, folder: Path, *, version: int, **settings: Any) -> None:
        self._folder = folder / f"postgres-{version}"
        self._version = version
        self._settings = settings

    @cached_property
    def server(self) -> EmbeddedServer:
        """The server; the first worker that asks starts it, the last that leaves stops it."""
        with self._coming_and_going():
            return EmbeddedServer.start(
                self._folder / "data", version=self._version, settings=FAST_BUT_NOT_DURABLE
            )

    def _coming_and_going(self) -> FileLock:
        # Beside the folder, which the last one deletes.
        self._folder.parent.mkdir(parents=True, exist_ok=True)
        return FileLock(self._folder.with_suffix(".lock"))

    @cached_property
    def template(self) -> str:
        """The name of the migrated template database; the first worker that asks migrates it."""
        self._folder.mkdir(parents=True, exist_ok=True)
        migrated = self._folder / "template"
        with FileLock(self._folder / "template.lock"):
            if not migrated.exists():
                url = self.server.create_database(TEMPLATE)
                # In a thread of its own: the caller may be in an event loop.
                with ThreadPoolExecutor(1) as thread:
                    thread.submit(asyncio.run, self._migrate(url)).result()
                migrated.touch()
        return TEMPLATE

    async def _migrate(self, url: SecretStr) -> None:
        async with Database.from_url(url, migrate=True, **self._settings):
            pass

    def clone(self) -> SecretStr:
        """Return the URL of a new database that has the schema and the record of its embeddings."""
        name = f"test_{uuid4().hex}"
        # A template cannot be copied twice at the same moment.
        template = self.template
        with FileLock(self._folder / "template.lock"):
            return self.server.create_database(name, template=template)

    def empty(self) -> SecretStr:
        """Return the URL of a new database without a schema."""
        return self.server.create_database(f"empty_{uuid4().hex}")

    def close(self) -> None:
        """Give the server up; the last to do so also deletes its data."""
        if "server" not in self.__dict__:
            return
        with self._coming_and_going():
            self.server.release()
            if (still_used := EmbeddedServer.find(self._folder / "data")) is None:
                shutil.rmtree(self._folder, ignore_errors=True)
            else:
                still_used.release()
