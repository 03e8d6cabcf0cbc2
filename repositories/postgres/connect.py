"""The first connection, with retries while the server is starting."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from tenacity import AsyncRetrying, retry_if_exception_type, wait_random_exponential

from domain.errors import DatabaseUnavailable
from repositories.postgres.errors import Phase, translating

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine
    from tenacity import RetryCallState

    from repositories.postgres.settings import Settings

_logger = logging.getLogger("recollect.database")
_FIRST_WAIT_SECONDS, _LONGEST_WAIT_SECONDS = 0.05, 2.0


async def connect_with_retry(engine: AsyncEngine, settings: Settings) -> None:
    """Connect, and retry with growing random pauses until `connect_deadline`.

    Each cause of failure is logged once.

    Raises:
        DatabaseUnavailable: the deadline has passed; the error contains the last cause.
        AccessDenied: the server refused the user or the password. This is not retried.
        ConfigurationError: a setting is wrong. This is not retried.
    """
    seconds = settings.connect_deadline.total_seconds()
    causes = _Causes()
    retrying = AsyncRetrying(
        wait=wait_random_exponential(multiplier=_FIRST_WAIT_SECONDS, max=_LONGEST_WAIT_SECONDS),
        retry=retry_if_exception_type(DatabaseUnavailable),
        after=causes.note,
    )
    try:
        async with asyncio.timeout(seconds):
            await retrying(_connect_once, engine)
            return
    except TimeoutError:
        pass
    raise _given_up(settings, causes.last)


async def _connect_once(engine: AsyncEngine) -> None:
    # SQLAlchemy's dialect queries the first connection, which may be lost meanwhile.
    with translating(Phase.CONNECT):
        async with engine.connect():
            pass


class _Causes:
    def __init__(self) -> None:
        self.last: DatabaseUnavailable | None = None
        self._logged: set[str] = set()

    def note(self, state: RetryCallState) -> None:
        cause = state.outcome.exception() if state.outcome is not None else None
        if not isinstance(cause, DatabaseUnavailable):
            return
        self.last = cause
        if str(cause) not in self._logged:
            self._logged.add(str(cause))
            _logger.warning("no connection yet, trying again: %s", cause)


def _given_up(settings: Settings, last: DatabaseUnavailable | None) -> DatabaseUnavailable:
    seconds = settings.connect_deadline.total_seconds()
    host, port = settings.addresses[0]
    if last is None:
        return DatabaseUnavailable(
            f"no connection within {seconds:g} s: {host}:{port} does not answer",
            host=host,
            port=port,
        )
    return DatabaseUnavailable(
        f"no connection within {seconds:g} s: {last}",
        host=last.host,
        port=last.port,
        sqlstate=last.sqlstate,
    )
