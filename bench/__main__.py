"""Measure on an embedded server, judge the figures, and exit with 1 if a bar is missed.

`make bench` measures everything, with peers, and writes docs/explanation/performance.md;
`make bench-quick` takes two minutes, without peers.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.table import Table

from bench import memory, reading, telemetry, writing
from bench.fixture import server
from bench.judging import judged, table
from bench.machine import Machine
from bench.measuring import Figure
from bench.memory import MemoryFigure
from bench.peers.ways import Others, others
from domain import KnowledgeChunk, known_dimensions
from repositories import Database, EmbeddedServer


@dataclass(frozen=True, kw_only=True)
class Size:
    """How much is measured."""

    rows: int
    dimensions: int
    loaded: int
    events: int
    singles: int
    retained: int
    remembered: int
    rounds: int


UNLIMITED: Final[Mapping[str, Any]] = {"statement_timeout": 0, "idle_in_transaction_timeout": 0}
"""An index is built in one statement, and transactions stay open while others take their turns."""

QUICK = Size(
    rows=1_000,
    dimensions=1_024,
    loaded=1_000,
    events=20_000,
    singles=1_600,
    retained=100_000,
    remembered=5_000,
    rounds=2,
)


@dataclass(frozen=True, kw_only=True)
class Results:
    """Everything that was measured; the fields are the keys of the JSON."""

    machine: Machine
    figures: Sequence[Figure]
    memory: Sequence[MemoryFigure]


async def measured(running: EmbeddedServer, size: Size, *, peers: bool) -> Results:
    """Measure everything, in databases of their own on one server."""
    url = running.create_database("measured")
    with known_dimensions(size.dimensions):
        new, loaded = (
            writing.chunks(size.rows, size.dimensions),
            writing.chunks(size.loaded, size.dimensions),
        )
    async with (
        Database.from_url(
            url, migrate=True, embedding_dimensions=size.dimensions, **UNLIMITED
        ) as database,
        _others(url.get_secret_value(), loaded, size, enabled=peers) as beside,
    ):
        wrote = await writing.measure(
            database, new, loaded, others=beside, events=size.events, rounds=size.rounds
        )
        read = await reading.measure(database, loaded, others=beside, rounds=size.rounds)
        return Results(
            figures=[
                *wrote,
                *read,
                *await reading.importing(rounds=max(5, size.rounds)),
                *await telemetry.singles(database, events=size.singles, rounds=size.rounds),
                *await telemetry.retention(
                    database, running.admin_url, rows=size.retained, rounds=size.rounds
                ),
            ],
            memory=await _memory(running, size),
            machine=await Machine.of(database),
        )


@asynccontextmanager
async def _others(
    url: str, loaded: Sequence[KnowledgeChunk], size: Size, *, enabled: bool
) -> AsyncIterator[Others]:
    if not enabled:
        yield Others.none()
        return
    async with others(url, loaded, count=size.rows, dimensions=size.dimensions) as beside:
        yield beside


async def _memory(running: EmbeddedServer, size: Size) -> Sequence[MemoryFigure]:
    url = running.create_database("remembered")
    opened = Database.from_url(url, migrate=True, embedding_dimensions=size.dimensions)
    async with opened as database, database.engine.begin() as connection:
        # An index takes the server's memory and time, not the client's.
        await connection.exec_driver_sql("DROP INDEX ix_knowledge_embedding")
    return await memory.measure(
        url.get_secret_value(), rows=size.remembered, dimensions=size.dimensions
    )


def main(
    rows: Annotated[
        int, typer.Option(help="Rows that are written, fewer than those of a first load.")
    ] = 4_000,
    dimensions: Annotated[int, typer.Option(help="Dimensions of an embedding.")] = 1_024,
    loaded: Annotated[
        int, typer.Option(help="Rows of a first load, which are searched afterwards.")
    ] = 50_000,
    events: Annotated[int, typer.Option(help="Events that are recorded together.")] = 100_000,
    singles: Annotated[int, typer.Option(help="Events that are recorded one by one.")] = 4_000,
    retained: Annotated[
        int, typer.Option(help="Events of a month that has grown too old.")
    ] = 1_000_000,
    rounds: Annotated[int, typer.Option(help="Measured rounds; the median counts.")] = 3,
    quick: Annotated[bool, typer.Option("--quick", help="Measure less, in two minutes.")] = False,  # noqa: FBT002 -- an option
    peers: Annotated[bool, typer.Option("--peers", help="Measure other libraries too.")] = False,  # noqa: FBT002 -- an option
    output: Annotated[Path | None, typer.Option("--json", help="File for the figures.")] = None,
) -> None:
    size = QUICK
    if not quick:
        options = {
            "remembered": 5_000,
            "loaded": loaded,
            "events": events,
            "singles": singles,
            "retained": retained,
        }
        size = Size(rows=rows, dimensions=dimensions, rounds=rounds, **options)
    with server() as running:
        results = asdict(asyncio.run(measured(running, size, peers=peers)))
    if output is not None:
        output.write_text(json.dumps(results, indent=1) + "\n")
    console, verdicts = Console(), list(judged(results))
    console.print(_times(results["figures"]), table(verdicts))
    raise typer.Exit(0 if all(verdict.met for verdict in verdicts) else 1)


def _times(figures: Sequence[dict[str, object]]) -> Table:
    shown = Table("work", "way", "ms", "× the first")
    for figure in (Figure(**figure) for figure in figures):  # type: ignore[arg-type]  # as asdict gave them
        shown.add_row(
            figure.work, figure.way, f"{figure.seconds * 1e3:,.2f}", f"{figure.ratio:.2f}"
        )
    return shown


typer.run(main)
