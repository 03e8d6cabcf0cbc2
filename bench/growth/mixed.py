"""A mixed load of many tasks on 50,000 rows, with the figures of every minute.

`python -m bench.growth.mixed --minutes 12` takes 12 minutes and the time to fill the database. It
fails after an error, if an operation slows down, or if searches have spikes.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from time import monotonic, perf_counter, thread_time
from typing import Annotated, Any, Final

import psutil
import typer
from rich.console import Console
from rich.table import Table

from bench.clock import percentile
from bench.fixture import server
from bench.growth.data import (
    DIMENSIONS,
    LARGE_REPO,
    MEDIUM,
    OWNER,
    SMALL,
    Size,
    fill,
)
from bench.growth.entry import NEAR, WORDS
from bench.machine import Machine
from domain import RecollectError, Vector, known_dimensions
from repositories import Database
from tests.contract.suites import samples

MOST_SLOWDOWN: Final = 1.3
"""The median of a minute may be so many times that of the first minute.

The slowdown of the machine, which the control measures, is divided out.
"""

MOST_SPIKE: Final = 2.0
"""The 95th percentile of a minute may be so many times that of the median minute."""

_SAMPLE: Final = 2_000
_CONTROL: Final = bytes(4 * 2**20)
"""Bytes that the control hashes: 2 to 10 ms of processor time, whatever the database does."""

SEARCHES: Final = frozenset({"hybrid search", "keyword search", "recall"})


@dataclass
class Load:
    """The figures of a run: milliseconds by operation and minute, errors, and memory by minute.

    `control` has the milliseconds of processor time for the same work in every second.
    """

    began: float = field(default_factory=monotonic)
    latencies: dict[str, defaultdict[int, list[float]]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(list))
    )
    errors: Counter[str] = field(default_factory=Counter)
    memory: dict[int, float] = field(default_factory=dict)
    control: defaultdict[int, list[float]] = field(default_factory=lambda: defaultdict(list))

    @property
    def minute(self) -> int:
        """The current minute, from 0."""
        return int((monotonic() - self.began) // 60)

    async def timed(self, name: str, call: Callable[[], Awaitable[object]]) -> None:
        """Run one operation and record its time or its error, in the minute that it began."""
        minute, began = self.minute, perf_counter()
        try:
            await call()
        except RecollectError as error:
            self.errors[f"{name}: {type(error).__name__}"] += 1
        self.latencies[name][minute].append((perf_counter() - began) * 1_000)
        self.memory[minute] = psutil.Process().memory_info().rss / 2**20

    async def watch(self) -> None:
        """Record the control in every second, until cancelled."""
        while True:
            self.control[self.minute].append(await asyncio.to_thread(_hash))
            await asyncio.sleep(1)


def _hash() -> float:
    began = thread_time()
    hashlib.sha256(_CONTROL).digest()
    return (thread_time() - began) * 1_000


def _near(vector: Vector = NEAR) -> Vector:
    with known_dimensions(DIMENSIONS):
        return Vector([value + random.gauss(0, 0.3) for value in vector.to_list()])


async def _stored_embeddings(database: Database) -> list[Vector]:
    """Return the embeddings of some passages: those that are written are near them.

    A load that writes into one place makes the graph denser there, and each write slower.
    """
    async with database.reader() as view:
        passages = await view.knowledge.list(limit=_SAMPLE, with_embedding=True)
    return [passage.embedding for passage in passages if passage.embedding is not None]


def _operations(
    database: Database, stored: Sequence[Vector]
) -> dict[str, Callable[[], Awaitable[Any]]]:
    async def search() -> None:
        async with database.reader() as view:
            await view.knowledge.hybrid_search(WORDS, _near())

    async def words() -> None:
        async with database.reader() as view:
            await view.findings.keyword_search(WORDS, repo=LARGE_REPO)

    async def recall() -> None:
        async with database.reader() as view:
            await view.memories.recall(_near(), WORDS, repo=LARGE_REPO, owner=OWNER)

    async def upsert() -> None:
        # Passages that the large repository has, so that the table does not grow.
        start = random.randrange(MEDIUM.rows // 10 * 3 - 50)  # noqa: S311 -- no secret
        chunks = [
            samples.chunk(
                f"chunk{number // 3 * 10 + 10 + number % 3}",
                f"word{number} text",
                repo=LARGE_REPO,
                embedding=_near(random.choice(stored)),  # noqa: S311 -- no secret
            )
            for number in range(start, start + 50)
        ]

        async def work(uow: Any) -> None:
            await uow.knowledge.upsert_many(chunks)

        await database.run(work)

    async def review() -> None:
        async def work(uow: Any) -> None:
            reviewed = samples.review(repo=LARGE_REPO)
            uow.reviews.add(reviewed)
            await uow.flush()
            await uow.findings.add_many([samples.finding(reviewed) for _ in range(10)])

        await database.run(work)

    async def event() -> None:
        async def work(uow: Any) -> None:
            await uow.telemetry.record(samples.event())

        await database.run(work)

    return {
        "hybrid search": search,
        "keyword search": words,
        "recall": recall,
        "upsert of 50 chunks": upsert,
        "review with ten findings": review,
        "event": event,
    }


async def run(database: Database, *, tasks: int, minutes: int) -> Load:
    """Run random operations in so many tasks for so many minutes."""
    operations = list(_operations(database, await _stored_embeddings(database)).items())
    load = Load()

    async def task() -> None:
        while monotonic() - load.began < minutes * 60:
            await load.timed(*random.choice(operations))  # noqa: S311 -- no secret

    watching = asyncio.create_task(load.watch())
    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(tasks):
                group.create_task(task())
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
    return load


def slowdown(p50: Sequence[float], control: Sequence[float]) -> float:
    """Return how many times as long the slowest minute takes as the first.

    Args:
        p50: median of each minute.
        control: median of the control in each minute, by which the medians are divided.
    """
    own = [milliseconds / other for milliseconds, other in zip(p50, control, strict=True)]
    return max(own) / own[0]


def failures(load: Load) -> list[str]:
    """Return a sentence for each bar that the load missed."""
    missed = [f"{error}, {count} times" for error, count in load.errors.items()]
    for name, minutes in load.latencies.items():
        p50 = {minute: median(times) for minute, times in sorted(minutes.items())}
        slowest = slowdown(list(p50.values()), [median(load.control[minute]) for minute in p50])
        if slowest > MOST_SLOWDOWN:
            missed.append(f"{name} slows down to {slowest:.2f} × of the first minute")
        p95 = [percentile(times, 95) for times in minutes.values()]
        if name in SEARCHES and max(p95) > MOST_SPIKE * median(p95):
            missed.append(f"{name} has spikes: {median(p95):.0f} → {max(p95):.0f} ms")
    return missed


def summary(load: Load, machine: Machine) -> Mapping[str, Any]:
    """Return the figures of each minute, as JSON: p50 and p95 in milliseconds, memory in MB."""
    minutes = range(max(load.memory) + 1)
    return {
        "machine": asdict(machine),
        "errors": dict(load.errors),
        "memory": [round(load.memory[minute]) for minute in minutes],
        "control": [round(median(load.control[minute]), 3) for minute in minutes],
        "operations": {
            name: {
                "count": sum(map(len, times.values())),
                "p50": [round(median(times[minute]), 1) for minute in minutes],
                "p95": [round(percentile(times[minute], 95), 1) for minute in minutes],
            }
            for name, times in load.latencies.items()
        },
    }


async def _measured(size: Size, *, tasks: int, minutes: int) -> tuple[Load, Machine]:
    with server() as running:
        url = running.create_database("mixed")
        opened = Database.from_url(url, migrate=True, embedding_dimensions=DIMENSIONS)
        async with opened as database:
            await fill(database, size)
            return await run(database, tasks=tasks, minutes=minutes), await Machine.of(database)


def main(
    *,
    minutes: Annotated[int, typer.Option(min=1, help="The length of the load.")] = 12,
    tasks: Annotated[int, typer.Option(help="The number of tasks.")] = 16,
    small: Annotated[bool, typer.Option("--small", help="Fill 5,000 rows.")] = False,
    output: Annotated[Path | None, typer.Option("--json", help="File for the figures.")] = None,
) -> None:
    """Run the load, print its minutes, and exit with 1 if it missed a bar."""
    size = SMALL if small else MEDIUM
    load, machine = asyncio.run(_measured(size, tasks=tasks, minutes=minutes))
    if output is not None:
        output.write_text(f"{json.dumps(summary(load, machine), indent=1)}\n", encoding="utf-8")
    shown = Table("operation", "minute", "count", "p50 ms", "p95 ms", "memory MB")
    for name, by_minute in load.latencies.items():
        for minute, times in sorted(by_minute.items()):
            shown.add_row(
                name,
                f"{minute + 1}",
                f"{len(times)}",
                f"{median(times):.0f}",
                f"{percentile(times, 95):.0f}",
                f"{load.memory[minute]:.0f}",
            )
    console, missed = Console(), failures(load)
    console.print(shown)
    for sentence in missed:
        console.print(sentence)
    raise typer.Exit(1 if missed else 0)


if __name__ == "__main__":
    typer.run(main)
