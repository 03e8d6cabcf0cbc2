"""How much memory a bulk write takes, by the number of rows.

Each in a process of its own, from a generator.
"""

from __future__ import annotations

import asyncio
import os
import resource
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.writing import chunks
from domain import KnowledgeChunk
from repositories import Database

GROWN: Final = 4
_URL: Final = "BENCH_URL"


@dataclass(frozen=True, kw_only=True)
class MemoryFigure:
    """Megabytes that a process took at most, beyond what it had before it wrote so many rows."""

    rows: int
    megabytes: float


async def measure(url: str, *, rows: int, dimensions: int) -> Sequence[MemoryFigure]:
    """Write `rows` chunks, and `GROWN` times as many, and return what each took."""
    return [
        MemoryFigure(rows=count, megabytes=await _taken(url, count, dimensions))
        for count in (rows, GROWN * rows)
    ]


async def _taken(url: str, rows: int, dimensions: int) -> float:
    command = (sys.executable, "-m", "bench.memory", str(rows), str(dimensions))
    here = Path(__file__).parents[1]
    process = await asyncio.create_subprocess_exec(
        *command, cwd=here, env={**os.environ, _URL: url}, stdout=asyncio.subprocess.PIPE
    )
    printed, _ = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}")
    return float(printed)


def _peak() -> float:
    """Return the most memory that this process ever had, in megabytes."""
    status = Path("/proc/self/status")
    if status.exists():
        # On Linux, getrusage counts at least the memory of the process that started this one.
        [line] = (line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (
        2**20 if sys.platform == "darwin" else 2**10
    )


async def _write(rows: int, dimensions: int) -> float:
    def each(count: int, start: int = 0) -> Iterator[KnowledgeChunk]:
        for first in range(start, start + count, 100):
            yield from chunks(min(100, start + count - first), dimensions, start=first)

    async with Database.from_url(os.environ[_URL]) as database, database.unit_of_work() as uow:
        await uow.knowledge.add_many(each(100, start=rows))  # what any write needs once
        before = _peak()
        await uow.knowledge.add_many(each(rows))
        return _peak() - before


if __name__ == "__main__":
    print(asyncio.run(_write(*map(int, sys.argv[1:]))))
