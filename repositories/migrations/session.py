"""The connection that migrates.

One of its own, with the lock that lets one migrator work at a time.
"""

from __future__ import annotations

import operator
import threading
import time
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING, Final, TypeVar

from sqlalchemy import BigInteger, Connection, bindparam, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError, StatementError
from tenacity import (
    AsyncRetrying,
    RetryError,
    retry_if_exception,
    retry_if_result,
    stop_after_delay,
    wait_random,
    wait_random_exponential,
)

from domain.errors import MigrationFailed, RecollectError
from repositories.migrations.migration_errors import reason
from repositories.postgres.errors import raise_bare, translating

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

T = TypeVar("T")

DEADLINE: Final = timedelta(seconds=60)
"""How long the lock, and tables that statements wait for, are waited for."""

LOCK_TIMEOUT: Final = timedelta(seconds=2)
"""How long a statement waits for a table: every later reader of the table waits behind it."""

STATEMENT_TIMEOUT: Final = timedelta(hours=1)

# Advisory locks are each database's own, so the key has to tell apart only what shares one. Signed,
# 64 bits.
LOCK_KEY: Final = int.from_bytes(sha256(b"recollect.migrations").digest()[:8], signed=True)

_KEY: Final = bindparam("key", LOCK_KEY, BigInteger)
_TRY_LOCK: Final = text("SELECT pg_try_advisory_lock(:key)").bindparams(_KEY)
_UNLOCK: Final = text("SELECT pg_advisory_unlock(:key)").bindparams(_KEY)
_HOLDS_LOCK: Final = text("""
SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid() AND granted AND objsubid = 1
               AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
               AND (classid::bigint << 32) | objid::bigint = :key)
""").bindparams(_KEY)
LIMITS: Final = text("""
SELECT set_config('lock_timeout', :lock, false), set_config('statement_timeout', :statement, false),
       set_config('idle_in_transaction_session_timeout', :statement, false)
""")


class MigrationSession:
    """A connection with the lock.

    It is nobody else's, and is closed afterwards: what is set in it stays in it.
    """

    def __init__(self, connection: AsyncConnection, until: float) -> None:
        self._connection = connection
        self._until = until

    async def run(self, work: Callable[[Connection], T], *, doing: str) -> T:
        """Return what `work` returns, committed; where a table's lock was not to be had, do it
        again until the deadline.

        Raises:
            MigrationFailed: with `doing` and the reason, for what the server refuses.
        """
        retrying = AsyncRetrying(
            retry=retry_if_exception(_waited_for_a_lock),
            stop=stop_after_delay(max(0, self._until - time.monotonic())),
            wait=wait_random_exponential(multiplier=0.1, max=1),
            reraise=True,
        )
        try:
            return await retrying(self._attempt, work)
        except (StatementError, OSError) as error:
            raise_bare(MigrationFailed(f"{doing} failed: {reason(error)}"))

    async def _attempt(self, work: Callable[[Connection], T]) -> T:
        try:
            result = await self._connection.run_sync(work)
        except BaseException:
            await self._connection.rollback()
            raise
        await self._connection.commit()
        return result


# Alembic keeps what it works on in global names, `op` and `context`: one at a time in a process,
# whatever the database.
_alembic: Final = threading.Lock()


@asynccontextmanager
async def alembic_for_us(deadline: timedelta) -> AsyncIterator[None]:
    """Keep Alembic from the other tasks and threads of this process.

    Raises:
        MigrationFailed: they kept it until the deadline.
    """

    async def acquire() -> bool:
        return _alembic.acquire(blocking=False)

    await _poll(acquire, deadline)
    try:
        yield
    finally:
        _alembic.release()


@asynccontextmanager
async def migration_session(
    engine: AsyncEngine, deadline: timedelta
) -> AsyncIterator[MigrationSession]:
    """Lend a connection that holds the migration lock.

    The lock is the connection's own, not another one's: a migrator that loses its connection loses
    both, and nobody migrates beside one that still works. It has to be a direct connection: behind
    a pooler that lends another server connection to each transaction the lock would be somebody
    else's, which `require_lock` finds out.

    Raises:
        MigrationFailed: others held the lock until the deadline.
        DatabaseFailure: no connection.
    """
    until = time.monotonic() + deadline.total_seconds()
    async with alembic_for_us(deadline):
        with translating():
            connection = await engine.connect()
        try:
            with translating():
                limits = {
                    "lock": milliseconds(LOCK_TIMEOUT),
                    "statement": milliseconds(STATEMENT_TIMEOUT),
                }
                await connection.execute(LIMITS, limits)
                await connection.commit()
            await _poll(partial(_try_lock, connection), deadline)
            yield MigrationSession(connection, until)
        finally:
            await _give_up(connection)


async def _give_up(connection: AsyncConnection) -> None:
    # Closing it would do; but a pooler keeps the server's connection, with what was set in it.
    try:
        with suppress(SQLAlchemyError, OSError, RecollectError):
            await connection.rollback()
            await connection.execute(_UNLOCK)
            await connection.execute(text("RESET ALL"))
    finally:
        await connection.invalidate()
        await connection.close()


def require_lock(connection: Connection) -> None:
    """Raise MigrationFailed unless this connection still holds the lock."""
    if not connection.scalar(_HOLDS_LOCK):
        raise MigrationFailed(
            "the migration lock was lost: migrate through a direct connection, not through a pooler"
        )


async def _poll(acquire: Callable[[], Awaitable[bool]], deadline: timedelta) -> None:
    # A migrator that waited inside pg_advisory_lock would be a transaction that CREATE INDEX
    # CONCURRENTLY waits for, while it waits for the one who creates the index.
    seconds = deadline.total_seconds()
    polling = AsyncRetrying(
        retry=retry_if_result(operator.not_),
        stop=stop_after_delay(seconds),
        wait=wait_random(0.02, 0.25),
    )
    try:
        await polling(acquire)
    except RetryError:
        raise_bare(MigrationFailed(f"other migrators held the lock for {seconds:g} s"))


async def _try_lock(connection: AsyncConnection) -> bool:
    with translating():
        taken = bool(await connection.scalar(_TRY_LOCK))
        await connection.commit()
        return taken


def _waited_for_a_lock(error: BaseException) -> bool:
    # A deadlock is a wait that the server ended, before the timeout did.
    return isinstance(error, DBAPIError) and getattr(error.orig, "sqlstate", None) in (
        "55P03",
        "40P01",
    )


def milliseconds(duration: timedelta) -> str:
    """Return the duration as PostgreSQL's settings take it."""
    return str(round(duration.total_seconds() * 1000))
