"""How long things take."""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING, TypeVar

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

T = TypeVar("T")

MAX_SECONDS = 6.0
MIN_SAMPLES = 20


async def sample(work: Callable[[T], Awaitable[object]], inputs: Sequence[T], *, samples: int) -> list[float]:
    """Return the milliseconds of `work` on the inputs in turn, after one round that warms up; fewer samples where it is slow."""
    for given in inputs[:3]:
        await work(given)
    taken: list[float] = []
    began = perf_counter()
    while len(taken) < samples and (len(taken) < MIN_SAMPLES or perf_counter() - began < MAX_SECONDS):
        started = perf_counter()
        await work(inputs[len(taken) % len(inputs)])
        taken.append((perf_counter() - started) * 1_000)
    return taken


def percentile(milliseconds: Sequence[float], percent: int) -> float:
    return float(np.percentile(milliseconds, percent, method="inverted_cdf"))


def median(values: Sequence[float]) -> float:
    return percentile(values, 50)
