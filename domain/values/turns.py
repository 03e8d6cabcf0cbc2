"""Work on many rows in slices, between which the event loop runs other tasks."""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from itertools import islice
from typing import Any, Final, TypeVar

T = TypeVar("T")

ROWS_PER_TURN: Final = 200
"""Rows that are converted before the event loop runs other tasks: a few milliseconds."""

VALUES_PER_TURN: Final = 2_000
"""Texts, ids and keys that are checked or sorted before other tasks run."""

_SAMPLES: Final = 8
"""Keys of a sort that are compared for each boundary between two of its parts."""


async def slices(items: Sequence[T], size: int = ROWS_PER_TURN) -> AsyncIterator[Sequence[T]]:
    """Yield the items in slices of at most `size`, and let other tasks run between them."""
    for start in range(0, len(items), size):
        if start:
            await asyncio.sleep(0)
        yield items[start : start + size]


async def lists(values: Iterable[T], size: int = VALUES_PER_TURN) -> AsyncIterator[list[T]]:
    """Yield the values in lists of at most `size`, and let other tasks run between them."""
    remaining = iter(values)
    while some := list(islice(remaining, size)):
        yield some
        await asyncio.sleep(0)


async def sorted_in_slices(
    items: Sequence[T], key: Callable[[T], Any], *, size: int = ROWS_PER_TURN * 5
) -> list[T]:
    """Return the items as `sorted` does, and let other tasks run between parts of the work.

    A sort of many items is a single call that cannot pause. A sample of the keys divides them into
    parts of about `size` items, each of which is sorted alone.
    """
    if len(items) <= size:
        return sorted(items, key=key)
    keys = [key(item) async for some in slices(items) for item in some]
    boundaries = sorted(keys[:: max(1, size // _SAMPLES)])[_SAMPLES::_SAMPLES]
    parts: list[list[int]] = [[] for _ in range(len(boundaries) + 1)]
    async for some in slices(range(len(items)), VALUES_PER_TURN):
        for place in some:
            parts[bisect_right(boundaries, keys[place])].append(place)
    in_order: list[T] = []
    for part in parts:
        await asyncio.sleep(0)
        in_order += [items[place] for place in sorted(part, key=keys.__getitem__)]
    return in_order
