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


def require_alive(
    dbapi_connection: Any, record: ConnectionPoolEntry, _: PoolProxiedConnection
) -> None:
    """Have a connection that is gone replaced, before anything is asked of it: the pool's listener
    when it lends one.

    What the driver knows to be closed is never lent. What it takes to be open is asked, unless that
    was just done.
    """
    now, checked_at = time.monotonic(), record.info.get(_CHECKED_AT)
    if checked_at is not None:
        if not dbapi_connection.driver_connection.is_alive():
            raise exc.InvalidatePoolError
        if now - checked_at < FRESH_SECONDS:
            return
        try:
            dbapi_connection.ping()
        except (dbapi_connection.dbapi.Error, OSError):
            raise exc.InvalidatePoolError from None
    record.info[_CHECKED_AT] = now


class GuardedPool(AsyncAdaptedQueuePool):
    """SQLAlchemy's queue pool, which says what it has when it has nothing left, and lets no foreign
    loop in.

    A pool that `dispose` replaced is a new one: it is at home where it is first used.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._guard = LoopGuard()
        self._disposed = False

    def connect(self) -> PoolProxiedConnection:
        """Lend a connection.

        Raises `UnitOfWorkError` in a foreign loop or a forked process, and `PoolExhausted`.
        """
        self._guard.check()
        try:
            return super().connect()
        except exc.TimeoutError:
            pass
        figures = self.figures()
        raise PoolExhausted(
            f"all {figures['total']} connections are in use, and none came back within {self.timeout():g} s",
            figures=figures,
        )

    def settle(self) -> None:
        """Be at home in this process and event loop before the first use."""
        self._guard.check()

    def dispose(self) -> None:
        """Close what is idle. Raises `UnitOfWorkError` in a foreign loop or a forked process."""
        self._guard.check()
        self._disposed = True
        super().dispose()

    def _do_return_conn(self, record: ConnectionPoolEntry) -> None:
        if self._disposed:
            # Nobody would lend it again, and it would stay connected for as long as anyone knows
            # this pool.
            record.close()
        else:
            super()._do_return_conn(record)

    def figures(self) -> dict[str, int]:
        """Return how many connections there are.

        `size` and `max_overflow` allowed, the others at this moment.
        """
        return {
            "size": self.size(),
            "max_overflow": self._max_overflow,
            "checked_in": self.checkedin(),
            "checked_out": self.checkedout(),
            "overflow": max(0, self.overflow()),
            "total": self.checkedin() + self.checkedout(),
        }
