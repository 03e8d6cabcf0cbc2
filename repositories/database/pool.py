"""The pool: bounded, fresh connections first, and at home in one event loop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import exc
from sqlalchemy.pool import AsyncAdaptedQueuePool

from domain.errors import PoolExhausted
from repositories.database.guard import LoopGuard

if TYPE_CHECKING:
    from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection

RECYCLE_SECONDS: Final = 1800
"""The age at which a connection is replaced when it is next used, give or take five per cent for each pool."""


class GuardedPool(AsyncAdaptedQueuePool):
    """SQLAlchemy's queue pool, which says what it has when it has nothing left, and lets no foreign loop in.

    A pool that `dispose` replaced is a new one: it is at home where it is first used.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._guard = LoopGuard()
        self._disposed = False

    def connect(self) -> PoolProxiedConnection:
        """Lend a connection. Raises `UnitOfWorkError` in a foreign loop or a forked process, and `PoolExhausted`."""
        self._guard.check()
        try:
            return super().connect()
        except exc.TimeoutError:
            pass
        figures = self.figures()
        raise PoolExhausted(
            f"all {figures['total']} connections are in use, and none came back within {self.timeout():g} s", figures=figures
        )

    def dispose(self) -> None:
        """Close what is idle. Raises `UnitOfWorkError` in a foreign loop or a forked process."""
        self._guard.check()
        self._disposed = True
        super().dispose()

    def _do_return_conn(self, record: ConnectionPoolEntry) -> None:
        if self._disposed:
            # Nobody would lend it again, and it would stay connected for as long as anyone knows this pool.
            record.close()
        else:
            super()._do_return_conn(record)

    def figures(self) -> dict[str, int]:
        """Return how many connections there are: `size` and `max_overflow` allowed, the others at this moment."""
        return {
            "size": self.size(),
            "max_overflow": self._max_overflow,
            "checked_in": self.checkedin(),
            "checked_out": self.checkedout(),
            "overflow": max(0, self.overflow()),
            "total": self.checkedin() + self.checkedout(),
        }
