"""How long things take."""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import psutil
from sqlalchemy import text

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from repositories import Database

T = TypeVar("T")

MAX_SECONDS = 10.0
MIN_SAMPLES = 20
WARMING = 3


async def alternate(
    ways: Sequence[Callable[[T], Awaitable[object]]], inputs: Sequence[T], *, samples: int
) -> list[list[float]]:
    """Return the milliseconds of each way for the inputs in turn; slow ways have fewer samples.

    The ways alternate, so that what else the machine does falls on all of them.
    """
    times_by_way: list[list[float]] = [[] for _ in ways]
    began = perf_counter()
    for turn in range(samples + WARMING):
        if turn >= MIN_SAMPLES + WARMING and perf_counter() - began > MAX_SECONDS:
            break
        for way, times in zip(ways, times_by_way, strict=True):
            started = perf_counter()
            await way(inputs[turn % len(inputs)])
            if turn >= WARMING:
                times.append((perf_counter() - started) * 1_000)
    return times_by_way


class Cpu:
    """Count the processor time of this process and of a database's two server connections.

    It is what a search costs however much else the machine does: about its latency where nothing
    else does anything."""

    def __init__(self, *servers: int) -> None:
        self._processes = (psutil.Process(), *map(psutil.Process, servers))
        self._began = self._milliseconds()

    @classmethod
    async def of(cls, database: Database) -> Cpu:
        servers = set()
        for engine in (database.engine, database.read_engine):
            async with engine.connect() as connection:
                servers.add(
                    (await connection.execute(text("SELECT pg_backend_pid()"))).scalar_one()
                )
        return cls(*servers)

    def start(self) -> None:
        self._began = self._milliseconds()

    def taken(self, searches: int) -> float:
        """Return the milliseconds of each of so many searches since the start.

        The clock ticks every ten.
        """
        return (self._milliseconds() - self._began) / searches

    def _milliseconds(self) -> float:
        return sum(
            1_000 * (times.user + times.system)
            for times in (process.cpu_times() for process in self._processes)
        )


def percentile(milliseconds: Sequence[float], percent: int) -> float:
    return float(np.percentile(milliseconds, percent, method="inverted_cdf"))


def median(values: Sequence[float]) -> float:
    return percentile(values, 50)
