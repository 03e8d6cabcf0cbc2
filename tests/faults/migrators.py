"""Processes that migrate the same database at once, as replicas of a service do at their start."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import text

from repositories import migrations
from repositories.migrations import session
from repositories.postgres.engine import create_engine
from repositories.postgres.settings import Settings
from tests.processes import FORKED

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from multiprocessing.connection import Connection
    from pathlib import Path

    from pydantic import SecretStr

ANSWER_WITHIN = 150
"""Seconds."""


class Order(NamedTuple):
    """A database to migrate. A careless migrator believes that it has the lock."""

    url: SecretStr
    careless: bool


class Migrators:
    """Processes that wait for a database to migrate."""

    def __init__(self, connections: Sequence[Connection]) -> None:
        self._connections = connections

    async def migrate(self, url: SecretStr, *, careless: bool = False) -> list[str]:
        """Let all of them migrate that database at once, and return their revisions or errors."""
        for connection in self._connections:
            connection.send(Order(url, careless))
        return await asyncio.gather(
            *(asyncio.to_thread(_answer, connection) for connection in self._connections)
        )


@contextmanager
def migrators(number: int, directory: Path) -> Iterator[Migrators]:
    """Start them, with the revisions of `directory` after those of the package."""
    pipes = [FORKED.Pipe() for _ in range(number)]
    processes = [
        FORKED.Process(target=_obey, args=(theirs, directory), daemon=True) for _, theirs in pipes
    ]
    try:
        for process in processes:
            process.start()
        yield Migrators([ours for ours, _ in pipes])
    finally:
        for process, (ours, theirs) in zip(processes, pipes, strict=True):
            process.kill()
            process.join()
            ours.close()
            theirs.close()


def _answer(connection: Connection) -> str:
    if not connection.poll(ANSWER_WITHIN):
        raise TimeoutError("a migrator does not answer")
    answer: str = connection.recv()
    return answer


def _obey(orders: Connection, directory: Path) -> None:
    while True:
        order: Order = orders.recv()
        if order.careless:
            for name in ("_TRY_LOCK", "_HOLDS_LOCK"):
                setattr(session, name, text("SELECT true"))
        orders.send(asyncio.run(_migrate(order.url, directory)))


async def _migrate(url: SecretStr, directory: Path) -> str:
    engine, options = create_engine(Settings(url=url)), migrations.SchemaOptions(dimensions=8)
    try:
        return await migrations.migrate(
            engine, options, directory=directory, deadline=timedelta(minutes=2)
        )
    except Exception as error:  # noqa: BLE001 -- is counted
        return f"{type(error).__name__}: {error}"
    finally:
        await engine.dispose()
