"""Work on many rows in slices, between which the event loop runs other tasks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Final, TypeVar

T = TypeVar("T")

ROWS_PER_TURN: Final = 200
"""Rows that are converted before the event loop runs other tasks: a few milliseconds."""


async def slices(items: Sequence[T], size: int = ROWS_PER_TURN) -> AsyncIterator[Sequence[T]]:
    """Yield the items in slices of at most `size`, and let other tasks run between them."""
    for start in range(0, len(items), size):
        if start:
            await asyncio.sleep(0)
        yield items[start : start + size]
