"""The connection pool: bounded, last in first out, and bound to one event loop."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import exc
from sqlalchemy.pool import AsyncAdaptedQueuePool

from domain.errors import PoolExhausted
from repositories.postgres.loop_guard import LoopGuard

if TYPE_CHECKING:
    from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection

FRESH_SECONDS: Final = 1.0
"""A connection that was used or checked more recently is used without a check.

A check costs a round trip, or three through PgBouncer.
"""

RECYCLE_SECONDS: Final = 1800
"""The age at which the pool replaces a connection at its next use; varies by 5 % between pools."""


_CHECKED_AT: Final = "recollect_checked_at"
_CONNECTED_AT: Final = "recollect_connected_at"
_POOL: Final = "recollect_pool"


def require_alive(
    dbapi_connection: Any,
    record: ConnectionPoolEntry,
    _: PoolProxiedConnection,
    *,
    through_pgbouncer: bool,
) -> None:
    """Replace a closed or outdated connection before a caller gets it.

    This is the pool's listener for `checkout`. If the driver takes the connection to be open, a
    statement checks it, unless it was used or checked less than `FRESH_SECONDS` ago.
    """
    now, checked_at = time.monotonic(), record.info.get(_CHECKED_AT)
    if checked_at is None:
        record.info[_CONNECTED_AT] = now
    else:
        if not dbapi_connection.driver_connection.is_alive():
            raise exc.InvalidatePoolError
        pool: GuardedPool | None = record.info.get(_POOL)
        if pool is not None and pool.renewed_at >= record.info[_CONNECTED_AT]:
            raise exc.DisconnectionError
        if now - checked_at < FRESH_SECONDS:
            return
        try:
            _ping(dbapi_connection, in_transaction=through_pgbouncer)
        except (dbapi_connection.dbapi.Error, OSError):
            raise exc.InvalidatePoolError from None
    record.info[_CHECKED_AT] = now


def _ping(dbapi_connection: Any, *, in_transaction: bool) -> None:
    # Without a transaction, PgBouncer could send parts of the statement to different sessions.
    dbapi_connection.autocommit = not in_transaction
    try:
        dbapi_connection.ping()
    finally:
        dbapi_connection.autocommit = False


def note_return(dbapi_connection: Any, record: ConnectionPoolEntry) -> None:
    """Note that a connection was used until now, and close it if its pool was disposed.

    This is the pool's listener for `checkin`. A disposed pool would not use the connection again,
    and would keep it open for as long as anything refers to the pool.
    """
    if dbapi_connection is None:  # it was invalidated
        return
    pool: GuardedPool | None = record.info.get(_POOL)
    if pool is not None and pool.is_disposed:
        record.close()
    else:
        record.info[_CHECKED_AT] = time.monotonic()


class GuardedPool(AsyncAdaptedQueuePool):
    """SQLAlchemy's queue pool, bound to the process and the event loop of its first use.

    If it is exhausted, its error has the pool's counts. The pool that replaces a disposed one is
    bound at its own first use.
    """

    def __init__(self, creator: Any, **options: Any) -> None:
        super().__init__(creator, **options)
        self.is_disposed = False
        self.renewed_at = float("-inf")
        self._guard = LoopGuard()
        self._allowed_overflow: int = options["max_overflow"]

    def connect(self) -> PoolProxiedConnection:
        """Return a connection.

        Raises:
            UnitOfWorkError: the pool is bound to another event loop or process.
            PoolExhausted: every connection was in use for the whole timeout.
        """
        self._guard.check()
        try:
            connection = super().connect()
        except exc.TimeoutError:
            pass
        else:
            connection.info[_POOL] = self
            return connection
        figures = self.figures()
        raise PoolExhausted(
            f"all {figures['total']} connections were in use for {self.timeout():g} s: raise"
            " pool_size, or use fewer units of work at a time",
            figures=figures,
        )

    def renew(self) -> None:
        """Replace every connection that is open now at its next use."""
        self.renewed_at = time.monotonic()

    def bind_to_loop(self) -> None:
        """Bind the pool to this process and event loop before its first use."""
        self._guard.check()

    def dispose(self) -> None:
        """Close the idle connections.

        Raises:
            UnitOfWorkError: the pool is bound to another event loop or process.
        """
        self._guard.check()
        self.is_disposed = True
        super().dispose()

    def figures(self) -> dict[str, int]:
        """Return the pool's counts: `size` and `max_overflow` are limits, the others current."""
        return {
            "size": self.size(),
            "max_overflow": self._allowed_overflow,
            "checked_in": self.checkedin(),
            "checked_out": self.checkedout(),
            "overflow": max(0, self.overflow()),
            "total": self.checkedin() + self.checkedout(),
        }
