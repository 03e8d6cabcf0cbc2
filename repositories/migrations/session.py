"""The connection of a migration, with the lock that lets one migrator work at a time."""

from __future__ import annotations

import asyncio
import operator
import threading
import time
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING, Final, TypeVar

from sqlalchemy import BigInteger, Connection, bindparam, text
from sqlalchemy.exc import DBAPIError, PendingRollbackError, SQLAlchemyError, StatementError
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
"""How long to wait for the migration lock, and for locks of tables."""

LOCK_TIMEOUT: Final = timedelta(seconds=2)
"""How long one statement waits for a table, because every later reader waits behind it."""

STATEMENT_TIMEOUT: Final = timedelta(hours=1)

# A signed number of 64 bits. Each database has its own advisory locks, so the key need only differ
# from others in the same database.
LOCK_KEY: Final = int.from_bytes(sha256(b"recollect.migrations").digest()[:8], signed=True)

_KEY: Final = bindparam("key", LOCK_KEY, BigInteger)
_TRY_LOCK: Final = text("SELECT pg_try_advisory_lock(:key)").bindparams(_KEY)
_UNLOCK: Final = text("SELECT pg_advisory_unlock(:key)").bindparams(_KEY)
_HOLDS_LOCK: Final = text("""
SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()
               AND granted AND objsubid = 1
               AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
               AND (classid::bigint << 32) | objid::bigint = :key)
""").bindparams(_KEY)
LIMITS: Final = text("""
SELECT set_config('lock_timeout', :lock, false), set_config('statement_timeout', :statement, false),
       set_config('idle_in_transaction_session_timeout', :statement, false)
""")


class MigrationSession:
    """A connection that holds the migration lock.

    It is not shared and is closed afterwards, so that its settings affect no other session.
    """

    def __init__(self, connection: AsyncConnection, until: float) -> None:
        self._connection = connection
        self._until = until
        # SQLAlchemy does not wrap the errors of a rollback or of a change to autocommit mode.
        self._driver_error = connection.dialect.loaded_dbapi.Error

    async def run(self, work: Callable[[Connection], T], *, doing: str | Callable[[], str]) -> T:
        """Run `work` in a transaction, and return its result after the commit.

        If waiting for a lock times out, `work` runs again until the deadline.

        Args:
            work: the work.
            doing: what it does, or a function that returns what failed.

        Raises:
            MigrationFailed: the server refused a statement; the message contains `doing` and the
                reason.
        """
        retrying = AsyncRetrying(
            retry=retry_if_exception(_waited_for_a_lock),
            stop=stop_after_delay(max(0, self._until - time.monotonic())),
            wait=wait_random_exponential(multiplier=0.1, max=1),
            reraise=True,
        )
        try:
            return await retrying(self._attempt, work)
        except (StatementError, OSError, self._driver_error) as error:
            raise_bare(_failed(doing, error))
        except PendingRollbackError as error:
            # After a lost connection or a cancellation, Alembic's cleanup fails as well, and hides
            # the first failure.
            if isinstance(error.__context__, asyncio.CancelledError):
                raise error.__context__ from None
            raise_bare(_failed(doing, error.__context__ or error))

    async def _attempt(self, work: Callable[[Connection], T]) -> T:
        try:
            result = await self._connection.run_sync(work)
        except BaseException:
            await self._connection.rollback()
            raise
        await self._connection.commit()
        return result


def _failed(doing: str | Callable[[], str], error: BaseException) -> MigrationFailed:
    name = doing if isinstance(doing, str) else doing()
    return MigrationFailed(f"{name} failed: {reason(error)}")


# Alembic's state is global (`op` and `context`), so one migration at a time runs in a process, for
# all databases.
_alembic: Final = threading.Lock()


@asynccontextmanager
async def alembic_for_us(deadline: timedelta) -> AsyncIterator[None]:
    """Reserve Alembic for this task among all tasks and threads of this process.

    Raises:
        MigrationFailed: another one used it until the deadline.
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
    """Provide a connection that holds the migration lock.

    The connection that migrates holds the lock itself: if it is lost, so is the lock, and two
    migrators never work at once. It must be a direct connection: a pooler that uses another server
    connection for each transaction would separate the two, which `require_lock` detects.

    Raises:
        MigrationFailed: other migrators held the lock until the deadline.
        DatabaseFailure: the connection failed.
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
    # A pooler keeps the server's connection open after a close, with its lock and its settings.
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
    # A wait in pg_advisory_lock is a transaction. CREATE INDEX CONCURRENTLY would wait for it,
    # while it waits for the migrator that creates the index: a deadlock.
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
        is_locked = bool(await connection.scalar(_TRY_LOCK))
        await connection.commit()
        return is_locked


def _waited_for_a_lock(error: BaseException) -> bool:
    # The server also ends a wait when it detects a deadlock.
    return isinstance(error, DBAPIError) and getattr(error.orig, "sqlstate", None) in (
        "55P03",
        "40P01",
    )


def milliseconds(duration: timedelta) -> str:
    """Return the duration as PostgreSQL's settings take it."""
    return str(round(duration.total_seconds() * 1000))
