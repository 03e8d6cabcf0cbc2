"""How long things take."""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING, TypeVar

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

T = TypeVar("T")

MAX_SECONDS = 10.0
MIN_SAMPLES = 20
WARMING = 3


async def alternate(ways: Sequence[Callable[[T], Awaitable[object]]], inputs: Sequence[T], *, samples: int) -> list[list[float]]:
    """Return the milliseconds that each way takes for the inputs in turn, fewer samples where it is slow.

    The ways alternate, so that what else the machine does falls on all of them.
    """
    taken: list[list[float]] = [[] for _ in ways]
    began = perf_counter()
    for turn in range(samples + WARMING):
        if turn >= MIN_SAMPLES + WARMING and perf_counter() - began > MAX_SECONDS:
            break
        for way, times in zip(ways, taken, strict=True):
            started = perf_counter()
            await way(inputs[turn % len(inputs)])
            if turn >= WARMING:
                times.append((perf_counter() - started) * 1_000)
    return taken


def percentile(milliseconds: Sequence[float], percent: int) -> float:
    return float(np.percentile(milliseconds, percent, method="inverted_cdf"))


def median(values: Sequence[float]) -> float:
    return percentile(values, 50)
