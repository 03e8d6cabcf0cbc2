"""Interleaved runs: what is compared is measured in turn, so that a noisy machine disturbs all of it alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

Run = Callable[[], Awaitable[object]]

TURN = 1.0
"""Seconds of a way's turn, at least: the faster it is, the more of its runs the median is of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One way to do a piece of work; `prepare` is not measured."""

    name: str
    run: Run
    prepare: Run | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """The median of one way's runs in seconds, and its ratio to the first way's."""

    work: str
    way: str
    seconds: float
    ratio: float


async def compare(
    work: str, ways: Sequence[Way], *, rounds: int, repeat: int = 1, warming: int = 1, turn: float = TURN
) -> list[Figure]:
    """Let the ways take turns of so many seconds, `rounds` times after those that warm up, and return their medians."""
    taken: dict[str, list[float]] = {way.name: [] for way in ways}
    for number in range(rounds + warming):
        for way in ways:
            times = [await _taken(way, repeat)]
            while sum(times) * repeat < turn:
                times.append(await _taken(way, repeat))
            if number >= warming:
                taken[way.name] += times
    medians = {name: statistics.median(times) for name, times in taken.items()}
    first = medians[ways[0].name]
    return [Figure(work=work, way=name, seconds=median, ratio=median / first) for name, median in medians.items()]


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
