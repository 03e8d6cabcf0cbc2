"""Measure every entry at every size, and judge how much it grows."""

from __future__ import annotations

from collections.abc import Sequence, Sized
from dataclasses import dataclass
from operator import attrgetter
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import text

from bench.growth.data import LARGE_REPO
from domain import Page, where
from tests.contract.ports import all_operations
from tests.contract.suites.kinds import KINDS

if TYPE_CHECKING:
    from bench.growth.data import Size
    from bench.growth.entry import Entry, Rows
    from repositories import Database

MOST: Final = 2.0
"""An operation with a bounded result may take this many times as long at the largest size."""

NOISE: Final = 1.0
"""Differences of less than so many milliseconds are not growth."""

ATTEMPTS: Final = 3
"""An entry that grows too much is measured again: the machine may have been busy."""

SAMPLES: Final = 15
SECONDS: Final = 0.8
LEAST_SAMPLES: Final = 4
WARMING: Final = 2


@dataclass(frozen=True, kw_only=True)
class Growth:
    """The measurement of one entry.

    Attributes:
        operation: the path of the operation.
        case: its arguments in a word or two.
        milliseconds: the median at each size, smallest first.
        rows: the size of its result at the largest size.
        grows: the reason for which it may grow, or None.
    """

    operation: str
    case: str
    milliseconds: Sequence[float]
    rows: int
    grows: str | None

    @property
    def ratio(self) -> float:
        """How many times as long the largest size takes as the smallest."""
        return self.milliseconds[-1] / self.milliseconds[0]

    @property
    def is_met(self) -> bool:
        """Whether it grows no more than it may."""
        slower = self.milliseconds[-1] - self.milliseconds[0]
        return self.grows is not None or self.ratio <= MOST or slower < NOISE


class Population:
    """A database of one size, with the ids of some of its rows."""

    def __init__(self, size: Size, database: Database, rows: Rows) -> None:
        self.size = size
        self.database = database
        self.rows = rows

    @classmethod
    async def of(cls, size: Size, database: Database) -> Population:
        """Read the ids that the calls need."""
        rows: dict[str, list[Any]] = {}
        async with database.reader() as view:
            for kind in KINDS:
                repository = attrgetter(kind.path)(view)
                in_large = (
                    None
                    if kind.path in {"suppressions", "patterns"}
                    else where("repo").equals(LARGE_REPO)
                )
                listing = await repository.list(in_large, limit=20)
                rows[kind.path] = [row.id for row in listing]
        return cls(size, database, rows)

    async def measured(self, entry: Entry) -> tuple[float, int]:
        """Return the median of the milliseconds, and the size of the result."""
        samples: list[float] = []
        began, result = perf_counter(), None
        for turn in range(SAMPLES + WARMING):
            enough = turn >= LEAST_SAMPLES + WARMING
            if enough and perf_counter() - began > SECONDS:
                break
            milliseconds, result = await self._once(entry)
            if turn >= WARMING:
                samples.append(milliseconds)
        return median(samples), _size_of(result)

    async def _once(self, entry: Entry) -> tuple[float, Any]:
        unit = self.database.unit_of_work() if entry.writes else self.database.reader()
        async with unit as opened:
            await opened.embedding_metadata.find()
            began = perf_counter()
            result = await entry.call(opened, self.rows)
            return (perf_counter() - began) * 1_000, result


def _size_of(result: Any) -> int:
    if isinstance(result, bool) or result is None:
        return int(bool(result))
    if isinstance(result, int):
        return result
    if isinstance(result, Page):
        return len(result.items)
    return len(result) if isinstance(result, Sized) else 1


async def measure(entry: Entry, populations: Sequence[Population]) -> Growth:
    """Measure the entry at every size, again if it grows too much, and return the best."""
    best = await _measured(entry, populations)
    for _ in range(ATTEMPTS - 1):
        if best.is_met:
            break
        again = await _measured(entry, populations)
        best = min(best, again, key=lambda growth: growth.ratio)
    return best


async def _measured(entry: Entry, populations: Sequence[Population]) -> Growth:
    figures = [await population.measured(entry) for population in populations]
    return Growth(
        operation=entry.operation,
        case=entry.case,
        milliseconds=[round(milliseconds, 2) for milliseconds, _ in figures],
        rows=figures[-1][1],
        grows=entry.grows,
    )


def operations_without_entry(entries: Sequence[Entry]) -> list[str]:
    """Return the operations of the ports that no entry measures."""
    measured = {entry.operation for entry in entries}
    return sorted({operation.partition(".")[2] for operation in all_operations()} - measured)


_UNUSED: Final = text("""
SELECT s.relname || '.' || s.indexrelname FROM pg_stat_user_indexes s
JOIN pg_index i ON i.indexrelid = s.indexrelid
WHERE s.idx_scan = 0 AND NOT i.indisunique AND s.schemaname = current_schema()
AND NOT EXISTS (SELECT FROM pg_inherits WHERE inhrelid = s.indexrelid)
ORDER BY 1
""")


async def unused_indexes(database: Database) -> list[str]:
    """Return the indexes that no statement has used, except those of constraints."""
    await database.engine.dispose()
    async with database.engine.connect() as connection:
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        await connection.execute(text("SELECT pg_stat_clear_snapshot()"))
        return list((await connection.execute(_UNUSED)).scalars())
