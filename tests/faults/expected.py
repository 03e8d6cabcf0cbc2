"""Requirements for every failure.

Its type, whether to try again, nothing of a row in it, and nothing left behind.
"""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import CursorResult, text

from domain import RecollectError, Review

if TYPE_CHECKING:
    from repositories import Database, ReadUnitOfWork, UnitOfWork

CANARY = "canary-7Qx"
"""Stands for what no error may show; bound as a value of statements that fail."""

SLEEP = "SELECT pg_sleep(20), CAST(:canary AS text)"


@contextmanager
def failing(
    kind: type[RecollectError], *, again: bool
) -> Iterator[pytest.ExceptionInfo[RecollectError]]:
    """Require that the block raises exactly this error, with this `safe_to_retry`."""
    with pytest.raises(RecollectError) as caught:
        yield caught
    error = caught.value
    assert type(error) is kind, f"{type(error).__name__}: {error}"
    assert error.safe_to_retry is again
    assert (error.__cause__, error.__context__) == (None, None)
    report = f"{error}{error!r}{error.args}{vars(error)}" + "".join(
        traceback.format_exception(error)
    )
    assert CANARY not in report


async def ask(
    unit: UnitOfWork | ReadUnitOfWork,
    statement: str = "SELECT CAST(:canary AS text)",
    **values: object,
) -> Any:
    """Execute a statement of SQL as a repository would, and return its first value."""
    values = {"canary": CANARY} | values
    parameters = {name: value for name, value in values.items() if f":{name}" in statement}
    result = await unit._transaction.execute(text(statement).bindparams(**parameters))
    return result.scalar() if isinstance(result, CursorResult) and result.returns_rows else None


async def pid_of(unit: UnitOfWork | ReadUnitOfWork) -> int:
    return int(await ask(unit, "SELECT pg_backend_pid()"))


async def terminate(database: Database, pid: int) -> None:
    """End a session and wait until it is gone, from another one."""
    async with database.reader() as other:
        assert await ask(other, "SELECT pg_terminate_backend(:pid, 5000)", pid=pid)


async def until(database: Database, question: str, **values: object) -> Any:
    """Ask until the answer is true, each time in a transaction of its own.

    In one, the sessions stay as they were first seen.
    """
    async with asyncio.timeout(20):
        while True:
            async with database.reader() as other:
                if answer := await ask(other, question, **values):
                    return answer
            await asyncio.sleep(0.01)


async def until_waiting(database: Database, pid: int) -> None:
    """Return when the session waits for something in the middle of a statement."""
    await until(
        database,
        "SELECT 1 FROM pg_stat_activity WHERE pid = :pid AND state = 'active' AND wait_event IS "
        "NOT NULL",
        pid=pid,
    )


async def until_gone(database: Database, pid: int) -> None:
    """Return when the session has ended."""
    await until(
        database, "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = :pid)", pid=pid
    )


@asynccontextmanager
async def written(database: Database) -> AsyncIterator[UnitOfWork]:
    """Yield a unit of work that has written a row and was not committed."""
    async with database.unit_of_work() as uow:
        uow.reviews.add(Review(repo="acme/api", pr_number=7))
        await uow.flush()
        yield uow


async def require_sound(database: Database, *, reviews: int = 0) -> None:
    """Require a usable database with the committed rows and soon no session in a transaction."""
    async with database.unit_of_work() as uow:
        assert await uow.reviews.count() == reviews
    assert database.pool_figures().checked_out == 0
    # The one that asks is active as well; the server may take a moment to notice that a client is
    # gone.
    await until(
        database,
        "SELECT count(*) = 1 FROM pg_stat_activity WHERE datname = current_database() AND state "
        "<> 'idle'",
    )
