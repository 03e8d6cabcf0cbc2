"""Interleaved runs.

What is compared is measured in turn, so that a noisy machine disturbs all of it alike.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

Run = Callable[[], Awaitable[object]]

SECONDS = 3.0
"""Least time for each way, so that a median of fast runs has more of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One way to do a piece of work; `prepare` is not measured."""

    name: str
    run: Run
    prepare: Run | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """The median of one way's runs in seconds, and its ratio to the first way's.

    `size` is the number of rows or events of the work, or None if the work has no size.
    """

    work: str
    way: str
    seconds: float
    ratio: float
    size: int | None = None


async def compare(
    work: str,
    ways: Sequence[Way],
    *,
    rounds: int,
    repeat: int = 1,
    warming: int = 1,
    seconds: float = SECONDS,
    size: int | None = None,
) -> list[Figure]:
    """Run each way at least `rounds` times and `seconds` seconds, and return the medians.

    Whose turn it is has had the least time so far.
    """
    for way in [*ways] * warming:
        await _taken(way, repeat)
    series: dict[str, list[float]] = {way.name: [] for way in ways}
    while waiting := [
        way
        for way in ways
        if len(series[way.name]) < rounds or sum(series[way.name]) * repeat < seconds
    ]:
        way = min(waiting, key=lambda way: sum(series[way.name]))
        series[way.name].append(await _taken(way, repeat))
    medians = {name: statistics.median(times) for name, times in series.items()}
    first = medians[ways[0].name]
    return [
        Figure(work=work, way=name, seconds=median, ratio=median / first, size=size)
        for name, median in medians.items()
    ]


async def _taken(way: Way, repeat: int) -> float:
    if way.prepare is not None:
        await way.prepare()
    began = time.perf_counter()
    for _ in range(repeat):
        await way.run()
    return (time.perf_counter() - began) / repeat


async def driver_of(connection: AsyncConnection) -> Any:
    """Return the asyncpg connection under SQLAlchemy's."""
    return (await connection.get_raw_connection()).driver_connection
