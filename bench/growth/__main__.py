"""Measure how the cost of every operation grows with the rows, and fail if one grows too much.

`make growth` compares 5,000 with 50,000 rows in a few minutes; `make growth full=1` adds 500,000
and writes docs/explanation/growth.md.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from bench.fixture import server
from bench.growth.data import DIMENSIONS, LARGE, MEDIUM, SMALL, Size, fill
from bench.growth.entries import entries
from bench.growth.entry import Entry
from bench.growth.measure import (
    Growth,
    Population,
    measure,
    operations_without_entry,
    unused_indexes,
)
from bench.machine import Machine
from repositories import Database, EmbeddedServer

UNLIMITED: Final[dict[str, Any]] = {"statement_timeout": 0, "idle_in_transaction_timeout": 0}
_console: Final = Console(stderr=True)


@dataclass(frozen=True, kw_only=True)
class Results:
    """Everything that was measured; the fields are the keys of the JSON."""

    machine: Machine
    sizes: Sequence[Size]
    growth: Sequence[Growth]
    unused: Sequence[str]


async def measured(
    running: EmbeddedServer, sizes: Sequence[Size], chosen: Sequence[Entry]
) -> Results:
    """Fill a database of each size, and measure each entry at all sizes in turn."""
    async with AsyncExitStack() as stack:
        populations = []
        for size in sizes:
            began = perf_counter()
            url = running.create_database(f"growth_{size.name.lower()}")
            database = await stack.enter_async_context(
                Database.from_url(url, migrate=True, embedding_dimensions=DIMENSIONS, **UNLIMITED)
            )
            await fill(database, size)
            populations.append(await Population.of(size, database))
            _console.print(f"{size.name}: filled in {perf_counter() - began:.0f} s")
        grown = [await measure(entry, populations) for entry in track(chosen, console=_console)]
        largest = populations[-1].database
        return Results(
            machine=await Machine.of(largest),
            sizes=sizes,
            growth=grown,
            unused=await unused_indexes(largest),
        )


def main(
    *,
    full: Annotated[bool, typer.Option("--full", help="Measure 500,000 rows too.")] = False,
    only: Annotated[str, typer.Option(help="Only the operations that contain this.")] = "",
    output: Annotated[Path | None, typer.Option("--json", help="File for the figures.")] = None,
) -> None:
    """Measure, print what grows too much, and exit with 1 if an operation does."""
    chosen = entries()
    missing = operations_without_entry(chosen)
    chosen = [entry for entry in chosen if only in entry.name]
    sizes = (SMALL, MEDIUM, LARGE) if full else (SMALL, MEDIUM)
    with server() as running:
        results = asyncio.run(measured(running, sizes, chosen))
    if output is not None:
        output.write_text(json.dumps(asdict(results), indent=1) + "\n")
    console = Console()
    console.print(_table(results.growth, sizes))
    failed = [growth for growth in results.growth if not growth.is_met]
    for growth in failed:
        console.print(f"grows too much: {growth.operation} {growth.case}, {growth.ratio:.1f} ×")
    for operation in missing:
        console.print(f"has no entry in bench/growth/entries.py: {operation}")
    for index in results.unused:
        console.print(f"unused index: {index}")
    raise typer.Exit(1 if failed or missing else 0)


def _table(grown: Sequence[Growth], sizes: Sequence[Size]) -> Table:
    shown = Table("operation", "case", *(f"{size.name} ms" for size in sizes), "×", "rows", "")
    for growth in sorted(grown, key=lambda growth: -growth.ratio):
        verdict = growth.grows or ("" if growth.is_met else "GROWS")
        figures = [f"{milliseconds:,.1f}" for milliseconds in growth.milliseconds]
        shown.add_row(
            growth.operation,
            growth.case,
            *figures,
            f"{growth.ratio:.1f}",
            f"{growth.rows}",
            verdict,
        )
    return shown


if __name__ == "__main__":
    typer.run(main)
