"""Writers that record the outcome of each commit, and servers that are killed meanwhile."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING

import psutil

from domain.errors import CommitOutcomeUnknown, RecollectError
from tests.faults.pairs import rows_by_name, write_together

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from repositories import Database
    from repositories.embedded import EmbeddedServer

Write = Callable[["Database", str], Awaitable[None]]

WRITERS = 8
PAUSE_SECONDS = 0.01


@dataclass
class Book:
    """The names of the pairs that writers wrote, by the reported outcome."""

    committed: set[str] = field(default_factory=set)
    refused: set[str] = field(default_factory=set)
    unknown: set[str] = field(default_factory=set)
    last_commit: float = 0.0

    async def commits_again(self, *, within: float = 60) -> float:
        """Wait for the next commit, and return when it was."""
        began = monotonic()
        async with asyncio.timeout(within):
            while self.last_commit < began:  # noqa: ASYNC110 (writers are what is waited for)
                await asyncio.sleep(0.002)
        return self.last_commit

    async def compared(self, database: Database) -> Differences:
        """Compare the book with the database, after the last write."""
        rows = await rows_by_name(database)
        return Differences(
            lost=sum(rows.get(name) is None for name in self.committed),
            half=sum(count != 2 for count in rows.values()),
            refused_and_kept=sum(name in rows for name in self.refused),
            unknown_and_kept=sum(name in rows for name in self.unknown),
        )


@dataclass(frozen=True)
class Differences:
    """Differences between the rows in the database and the reported outcomes."""

    lost: int
    half: int
    refused_and_kept: int
    unknown_and_kept: int


@asynccontextmanager
async def writing(
    database: Database, book: Book, writers: int = WRITERS, *, write: Write = write_together
) -> AsyncIterator[None]:
    """Let writers write pairs meanwhile; an error that is not typed ends it."""
    done = asyncio.Event()
    run = next(_RUNS)
    async with asyncio.TaskGroup() as group:
        for number in range(writers):
            group.create_task(_write(database, book, write, f"{run}/{number}", done))
        try:
            yield
        finally:
            done.set()


_RUNS = itertools.count()


async def _write(
    database: Database, book: Book, write: Write, prefix: str, done: asyncio.Event
) -> None:
    for number in itertools.count():
        if done.is_set():
            return
        name = f"{prefix}/{number}"
        try:
            await write(database, name)
        except CommitOutcomeUnknown:
            book.unknown.add(name)
        except RecollectError:
            book.refused.add(name)
            await asyncio.sleep(PAUSE_SECONDS)
        else:
            book.committed.add(name)
            book.last_commit = monotonic()


def kill_postmaster(server: EmbeddedServer) -> None:
    """Kill the main process alone: the others live until they notice."""
    os.kill(server.pid, signal.SIGKILL)


def kill_everything(server: EmbeddedServer) -> None:
    """Kill every process of the server, the main one first, so that it cannot start others."""
    postmaster = psutil.Process(server.pid)
    for process in (postmaster, *postmaster.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):
            process.kill()
