"""Work on many rows in slices, between which the event loop runs other tasks."""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from itertools import islice
from time import perf_counter
from typing import Any, Final, TypeVar

T = TypeVar("T")

ROWS_PER_TURN: Final = 200
"""Rows that are converted before the event loop runs other tasks: a few milliseconds."""

VALUES_PER_TURN: Final = 2_000
"""Texts, ids and keys that are checked or sorted before other tasks run."""

TURN: Final = 0.005
"""Seconds after which other tasks run, even if there were fewer rows."""

_FIRST_SLICE: Final = 2
_SAMPLES: Final = 8
"""Keys of a sort that are compared for each boundary between two of its parts."""


async def slices(items: Sequence[T], size: int = ROWS_PER_TURN) -> AsyncIterator[Sequence[T]]:
    """Yield the items in slices of at most `size`, and let other tasks run between them.

    Slices are shorter where the items take long, such as rows with large JSON.
    """
    start, length, in_turn = 0, min(size, _FIRST_SLICE), 0
    began = perf_counter()
    while start < len(items):
        yield items[start : start + length]
        start += length
        in_turn += length
        took = perf_counter() - began
        if took < TURN and in_turn < size:
            length = min(2 * length, size - in_turn)
            continue
        if start < len(items):
            await asyncio.sleep(0)
        length = max(1, length // 4) if took > TURN else min(2 * length, size)
        in_turn, began = 0, perf_counter()


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
