"""The pool: bounded, fresh connections first, and at home in one event loop."""

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
"""A connection that was lent so recently is not asked whether it lives.

Asking costs three round trips.
"""

RECYCLE_SECONDS: Final = 1800
"""The age at which a connection is replaced when it is next used, give or take five per cent for each pool."""


_CHECKED_AT: Final = "recollect_checked_at"
_CONNECTED_AT: Final = "recollect_connected_at"
_POOL: Final = "recollect_pool"


def require_alive(
    dbapi_connection: Any, record: ConnectionPoolEntry, _: PoolProxiedConnection
) -> None:
    """Replace a connection that is closed or outdated before it is lent.

    This is the pool's listener for `checkout`. A connection that the driver takes to be open is
    asked, unless that was just done.
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
            dbapi_connection.ping()
        except (dbapi_connection.dbapi.Error, OSError):
            raise exc.InvalidatePoolError from None
    record.info[_CHECKED_AT] = now


def close_if_disposed(dbapi_connection: Any, record: ConnectionPoolEntry) -> None:
    """Close a connection that comes back to a pool that was disposed of.

    This is the pool's listener for `checkin`. The connection would not be lent again, and would
    stay open for as long as anything refers to the pool.
    """
    pool: GuardedPool | None = record.info.get(_POOL)
    if dbapi_connection is not None and pool is not None and pool.is_disposed:
        record.close()


class GuardedPool(AsyncAdaptedQueuePool):
    """SQLAlchemy's queue pool, which says what it has when it has nothing left, and lets no foreign
    loop in.

    A pool that `dispose` replaced is a new one: it is at home where it is first used.
    """

    def __init__(self, creator: Any, **options: Any) -> None:
        super().__init__(creator, **options)
        self.is_disposed = False
        self.renewed_at = float("-inf")
        self._guard = LoopGuard()
        self._allowed_overflow: int = options["max_overflow"]

    def connect(self) -> PoolProxiedConnection:
        """Lend a connection.

        Raises `UnitOfWorkError` in a foreign loop or a forked process, and `PoolExhausted`.
        """
        self._guard.check()
        try:
            lent = super().connect()
        except exc.TimeoutError:
            pass
        else:
            lent.info[_POOL] = self
            return lent
        figures = self.figures()
        raise PoolExhausted(
            f"all {figures['total']} connections are in use, and none came back within {self.timeout():g} s",
            figures=figures,
        )

    def renew(self) -> None:
        """Replace every connection that is open now when it is next lent."""
        self.renewed_at = time.monotonic()

    def settle(self) -> None:
        """Be at home in this process and event loop before the first use."""
        self._guard.check()

    def dispose(self) -> None:
        """Close what is idle. Raises `UnitOfWorkError` in a foreign loop or a forked process."""
        self._guard.check()
        self.is_disposed = True
        super().dispose()

    def figures(self) -> dict[str, int]:
        """Return how many connections there are.

        `size` and `max_overflow` allowed, the others at this moment.
        """
        return {
            "size": self.size(),
            "max_overflow": self._allowed_overflow,
            "checked_in": self.checkedin(),
            "checked_out": self.checkedout(),
            "overflow": max(0, self.overflow()),
            "total": self.checkedin() + self.checkedout(),
        }
