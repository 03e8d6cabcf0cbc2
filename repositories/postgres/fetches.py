"""Fetches the rows of a stream from a server-side cursor."""

from __future__ import annotations

import asyncio
from time import monotonic, thread_time
from typing import TYPE_CHECKING, Any, Final

from domain.errors import ConnectionLost
from domain.values.turns import TURN

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.ext.asyncio import AsyncMappingResult, AsyncResult

_LONG_PAUSE_SECONDS: Final = 0.1

_MOST_ROWS: Final = 500
"""Rows that are fetched at once; fewer, if they have large JSON."""

_FIRST_ROWS: Final = 4
"""Rows of the first fetch. Each fetch that is quick is followed by one of twice as many."""


class Fetches:
    """The fetches of one stream, of at most `batch_size` rows each.

    SQLAlchemy converts all rows of a fetch at once, so a fetch that takes long is followed by a
    smaller one.
    """

    def __init__(self, rows: AsyncResult[Any] | AsyncMappingResult, *, batch_size: int) -> None:
        self._rows = rows
        self._most = min(batch_size, _MOST_ROWS)
        self._size = min(self._most, _FIRST_ROWS)
        self._ended_at = monotonic()
        self._longest_pause = 0.0
        self._was_long = False

    @property
    def longest_pause(self) -> float:
        """The most seconds that the consumer took for the rows of one fetch.

        A fetch of rows that SQLAlchemy has read ahead does not reach the server, so the pause that
        cost the connection is not always the last.
        """
        return max(self._longest_pause, monotonic() - self._ended_at)

    async def fetch(self) -> Sequence[Any]:
        """Return the next rows; none, after the last."""
        self._longest_pause = self.longest_pause
        began = thread_time()
        rows = await self._rows.fetchmany(self._size)
        self._ended_at = monotonic()
        self._was_long = thread_time() - began >= TURN
        self._size = max(1, self._size // 4) if self._was_long else min(2 * self._size, self._most)
        return rows

    async def give_way(self) -> None:
        """Let other tasks run, if the last fetch took long."""
        if self._was_long:
            await asyncio.sleep(0)


def lost_in_stream(longest_pause: float) -> ConnectionLost:
    """Return the error for a connection that is lost during a stream.

    Args:
        longest_pause: the most seconds that the consumer took for the rows of one fetch.
    """
    if longest_pause < _LONG_PAUSE_SECONDS:
        return ConnectionLost("the connection was lost during a stream: nothing was committed")
    return ConnectionLost(
        f"the connection was lost during a stream whose consumer paused for {longest_pause:.1f} s:"
        " if that is more than the setting idle_in_transaction_timeout, raise the setting, or"
        " collect the rows before you process them"
    )
