"""Fetches the rows of a stream from a server-side cursor."""

from __future__ import annotations

import asyncio
from collections import deque
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

_BUFFERED_ROWS: Final = 50
"""Rows that SQLAlchemy reads ahead. Fetches of these rows do not reach the server."""


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
        self._pauses: deque[tuple[int, float]] = deque()
        self._was_long = False

    @property
    def pause(self) -> float:
        """Seconds that the consumer took for the rows that can come from one read of the server."""
        return monotonic() - self._ended_at + sum(pause for _, pause in self._pauses)

    async def fetch(self) -> Sequence[Any]:
        """Return the next rows; none, after the last."""
        paused = monotonic() - self._ended_at
        began = thread_time()
        rows = await self._rows.fetchmany(self._size)
        self._ended_at = monotonic()
        self._pauses.append((len(rows), paused))
        while sum(count for count, _ in self._pauses) - self._pauses[0][0] >= _BUFFERED_ROWS:
            self._pauses.popleft()
        self._was_long = thread_time() - began >= TURN
        self._size = max(1, self._size // 4) if self._was_long else min(2 * self._size, self._most)
        return rows

    async def give_way(self) -> None:
        """Let other tasks run, if the last fetch took long."""
        if self._was_long:
            await asyncio.sleep(0)


def lost_in_stream(pause: float) -> ConnectionLost:
    """Return the error for a connection that is lost when the consumer took `pause` s."""
    if pause < _LONG_PAUSE_SECONDS:
        return ConnectionLost("the connection was lost during a stream: nothing was committed")
    return ConnectionLost(
        f"the connection was lost when the consumer of a stream took {pause:.1f} s for its last"
        " rows: if that is more than the setting idle_in_transaction_timeout, raise the setting, or"
        " collect the rows before you process them"
    )
