"""The longest wait of a writer while a filled database is migrated.

`python -m bench.growth.upgrade` fills a database at an old revision with 200,000 rows of each kind,
and migrates it while a writer commits a change to one table after the other. It fails if a commit
took longer than a second. `--rows 2000` is a short version.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.console import Console
from rich.table import Table
from sqlalchemy import text

from bench.fixture import server
from bench.growth.data import DIMENSIONS, TENANT, Size, fill_tables
from bench.machine import Machine
from repositories import Database, EmbeddedServer
from repositories.migrations import SchemaOptions, migrate
from repositories.postgres.engine import create_engine
from repositories.postgres.settings import Settings

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

MOST_SECONDS: Final = 1.0
"""The longest that a writer may wait."""

OLD: Final = "0015"
_PAUSE_SECONDS: Final = 0.005
_TABLES: Final = (
    "knowledge",
    "learning_memories",
    "findings",
    "reviews",
    "feedback_reactions",
    "run_state",
    "telemetry_events",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Upgrade:
    """A migration beside a writer.

    Attributes:
        rows: the rows of each large table.
        old: the revision before.
        new: the revision afterwards.
        seconds: how long it took.
        commits: how often the writer committed meanwhile.
        longest: the longest commit of a change to each table, in milliseconds.
    """

    rows: int
    old: str
    new: str
    seconds: float
    commits: int
    longest: Mapping[str, float]


async def _write(engine: AsyncEngine, longest: dict[str, float], ended: asyncio.Event) -> int:
    commits = 0
    ids: dict[str, Any] = {}
    async with engine.connect() as connection:
        for table in _TABLES:
            first = text(f"SELECT id FROM {table} WHERE tenant = :tenant LIMIT 1")
            ids[table] = await connection.scalar(first, {"tenant": TENANT})
        await connection.commit()
        while not ended.is_set():
            for table, key in ids.items():
                change = text(
                    f"UPDATE {table} SET created_at = created_at"
                    " WHERE tenant = :tenant AND id = :id"
                )
                began = perf_counter()
                await connection.execute(change, {"tenant": TENANT, "id": key})
                await connection.commit()
                took = (perf_counter() - began) * 1_000
                longest[table] = round(max(longest.get(table, 0.0), took), 1)
                commits += 1
                await asyncio.sleep(_PAUSE_SECONDS)
    return commits


async def run(running: EmbeddedServer, rows: int, old: str) -> tuple[Upgrade, Machine]:
    """Fill a database at the old revision, and migrate it beside a writer."""
    url = running.create_database("upgraded")
    settings = Settings(url=url, embedding_dimensions=DIMENSIONS).for_migrations()
    engine = create_engine(settings)
    await migrate(engine, SchemaOptions(dimensions=DIMENSIONS), revision=old)
    await fill_tables(engine, Size("upgraded", rows))
    longest: dict[str, float] = {}
    ended = asyncio.Event()
    writer = asyncio.create_task(_write(engine, longest, ended))
    began = perf_counter()
    try:
        new = await migrate(engine)
    finally:
        seconds = perf_counter() - began
        ended.set()
        commits = await writer
    upgrade = Upgrade(
        rows=rows, old=old, new=new, seconds=round(seconds, 1), commits=commits, longest=longest
    )
    await engine.dispose()
    async with Database.from_url(url, embedding_dimensions=DIMENSIONS) as database:
        return upgrade, await Machine.of(database)


def main(
    rows: Annotated[int, typer.Option(help="The rows of each large table.")] = 200_000,
    old: Annotated[str, typer.Option("--from", help="The revision before.")] = OLD,
    output: Annotated[Path | None, typer.Option("--json", help="File for the figures.")] = None,
) -> None:
    """Measure, print the longest commits, and exit with 1 if a writer waited too long."""
    with server() as running:
        upgrade, machine = asyncio.run(run(running, rows, old))
    if output is not None:
        measured = {"machine": asdict(machine), "upgrade": asdict(upgrade)}
        output.write_text(f"{json.dumps(measured, indent=1)}\n", encoding="utf-8")
    shown = Table("table", "longest commit, ms")
    for table, milliseconds in upgrade.longest.items():
        shown.add_row(table, f"{milliseconds:,.1f}")
    console = Console()
    console.print(shown)
    console.print(
        f"{upgrade.rows:,} rows, {upgrade.old} to {upgrade.new} in {upgrade.seconds:.0f} s,"
        f" {upgrade.commits:,} commits meanwhile"
    )
    too_long = max(upgrade.longest.values()) > MOST_SECONDS * 1_000
    raise typer.Exit(1 if too_long else 0)


if __name__ == "__main__":
    typer.run(main)
