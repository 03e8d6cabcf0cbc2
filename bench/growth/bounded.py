"""The longest transaction of changes of any number of rows, which are interrupted and repeated.

`python -m bench.growth.bounded` marks 200,000 memories stale, moves 461,221 events of one month out
of the default partition, purges 500,000 events, and deletes a review with 10,000 findings. Each is
cancelled at a random moment and run again. It fails if a transaction took longer than two seconds,
or if rows were lost. `--share 0.01` is a short version.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import perf_counter
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.table import Table
from sqlalchemy import text

from bench.fixture import server
from bench.growth.data import DIMENSIONS, LARGE_REPO, Size, fill_tables, vacuum
from bench.machine import Machine
from repositories import Database, EmbeddedServer
from repositories.migrations.months import Month
from tests.contract.suites import samples

MOST_SECONDS: Final = 2.0
"""The longest that a transaction may take."""

MEMORIES, EVENTS, WAITING, FINDINGS = 200_000, 500_000, 461_221, 10_000
_INTERRUPTED_WITHIN: Final = 2.0
_LOOK_SECONDS: Final = 0.02

_AGE = text("""
SELECT extract(epoch FROM max(clock_timestamp() - xact_start))::float8 FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
AND xact_start IS NOT NULL AND query !~ 'CONCURRENTLY|VACUUM|pg_advisory'
""")
_WAIT_IN_DEFAULT = text("""
INSERT INTO telemetry_events (tenant, id, created_at, repo, event_type, model, conclusion)
SELECT 'default', gen_random_uuid(), CAST(:begins AS timestamptz) + n * interval '5 seconds',
       'acme/api', 'review', 'model', 'success'
FROM generate_series(0, :rows - 1) AS n
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounded:
    """One change of many rows.

    Attributes:
        change: what it does.
        rows: how many rows it changed, with the interrupted attempt.
        seconds: the time of the second attempt.
        longest: the longest transaction of both attempts, in seconds.
        complete: whether every row was changed, and no other.
    """

    change: str
    rows: int
    seconds: float
    longest: float
    complete: bool


async def _watched(
    database: Database, change: Callable[[], Awaitable[object]]
) -> tuple[float, float]:
    """Cancel the change at a random moment, run it again, and watch the age of transactions."""
    longest, ended = 0.0, asyncio.Event()

    async def watch() -> None:
        nonlocal longest
        async with database.engine.connect() as connection:
            await connection.execution_options(isolation_level="AUTOCOMMIT")
            while not ended.is_set():
                longest = max(longest, await connection.scalar(_AGE) or 0.0)
                await asyncio.sleep(_LOOK_SECONDS)

    watching = asyncio.create_task(watch())
    try:
        first = asyncio.ensure_future(change())
        await asyncio.sleep(random.uniform(0.1, _INTERRUPTED_WITHIN))  # noqa: S311 -- no secret
        first.cancel()
        with suppress(asyncio.CancelledError):
            await first
        began = perf_counter()
        await change()
        return perf_counter() - began, longest
    finally:
        ended.set()
        await watching


async def _count(database: Database, rows: str) -> int:
    async with database.engine.connect() as connection:
        return int(await connection.scalar(text(f"SELECT count(*) FROM {rows}")) or 0)


async def _stale(database: Database) -> Bounded:
    all_rows = await _count(database, "learning_memories")
    seconds, longest = await _watched(database, lambda: database.mark_memories_stale("new"))
    stale = await _count(database, "learning_memories WHERE stale")
    return Bounded(
        change="mark memories stale",
        rows=stale,
        seconds=seconds,
        longest=longest,
        complete=stale == all_rows,
    )


async def _maintain(database: Database, rows: int) -> Bounded:
    month = Month.of(datetime.now(UTC)).plus(-30)
    async with database.engine.begin() as connection:
        await connection.execute(text("SET LOCAL statement_timeout = 0"))
        await connection.execute(_WAIT_IN_DEFAULT, {"begins": month.begins, "rows": rows})
    before = await _count(database, "telemetry_events")
    seconds, longest = await _watched(database, lambda: database.maintain(rebuild_indexes=False))
    left = await _count(database, "ONLY telemetry_events_default")
    return Bounded(
        change="move events out of the default partition",
        rows=rows - left,
        seconds=seconds,
        longest=longest,
        complete=left == 0 and await _count(database, "telemetry_events") == before,
    )


async def _purge(database: Database) -> Bounded:
    before = await _count(database, "telemetry_events")
    age = timedelta(0)
    seconds, longest = await _watched(database, lambda: database.purge_telemetry(older_than=age))
    left = await _count(database, "telemetry_events")
    return Bounded(
        change="purge events",
        rows=before - left,
        seconds=seconds,
        longest=longest,
        complete=left == 0,
    )


async def _delete(database: Database, findings: int) -> Bounded:
    review = samples.review(repo=LARGE_REPO)
    async with database.unit_of_work() as uow:
        uow.reviews.add(review)
        await uow.flush()
        await uow.findings.add_many([samples.finding(review) for _ in range(findings)])
        await uow.commit()
    seconds, longest = await _watched(database, lambda: database.delete_review(review.id))
    left = await _count(database, "findings")
    return Bounded(
        change="delete a review",
        rows=findings - left,
        seconds=seconds,
        longest=longest,
        complete=left == 0 and await _count(database, "reviews") == 0,
    )


async def run(running: EmbeddedServer, share: float) -> tuple[list[Bounded], Machine]:
    """Fill a database, and run and repeat each change."""
    url = running.create_database("bounded")
    opened = Database.from_url(url, migrate=True, embedding_dimensions=DIMENSIONS)
    async with opened as database:
        size = Size("bounded", round(EVENTS * share))
        await fill_tables(database.engine, size, only={"learning_memories", "telemetry_events"})
        await vacuum(database)
        await database.maintain(rebuild_indexes=False)
        return [
            await _stale(database),
            await _maintain(database, round(WAITING * share)),
            await _purge(database),
            await _delete(database, round(FINDINGS * share)),
        ], await Machine.of(database)


def failures(changes: Sequence[Bounded]) -> list[str]:
    """Return a sentence for each bar that a change missed."""
    missed = [f"{one.change}: rows are lost or left" for one in changes if not one.complete]
    return missed + [
        f"{one.change}: a transaction took {one.longest:.1f} s"
        for one in changes
        if one.longest > MOST_SECONDS
    ]


def main(
    share: Annotated[float, typer.Option(help="The share of the rows.")] = 1.0,
    output: Annotated[Path | None, typer.Option("--json", help="File for the figures.")] = None,
) -> None:
    """Run the changes, print them, and exit with 1 if one missed a bar."""
    with server() as running:
        changes, machine = asyncio.run(run(running, share))
    if output is not None:
        measured: dict[str, Any] = {
            "machine": asdict(machine),
            "bounded": [asdict(one) for one in changes],
        }
        output.write_text(f"{json.dumps(measured, indent=1)}\n", encoding="utf-8")
    shown = Table("change", "rows", "seconds", "longest transaction, s", "complete")
    for one in changes:
        shown.add_row(
            one.change,
            f"{one.rows:,}",
            f"{one.seconds:.1f}",
            f"{one.longest:.2f}",
            "yes" if one.complete else "no",
        )
    console, missed = Console(), failures(changes)
    console.print(shown)
    for sentence in missed:
        console.print(sentence)
    raise typer.Exit(1 if missed else 0)


if __name__ == "__main__":
    typer.run(main)
