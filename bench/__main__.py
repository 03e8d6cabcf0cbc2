"""`python -m bench`: measures on an embedded server of its own and prints a table; `--json` also writes it to a file."""

from __future__ import annotations

import asyncio
import json
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from bench import reading, telemetry, writing
from bench.measuring import Figure
from repositories import Database, EmbeddedServer


async def measured(*, rows: int, dimensions: int, rounds: int, events: int, retained: int) -> list[Figure]:
    with tempfile.TemporaryDirectory(prefix="recollect-bench-") as folder:
        data = Path(folder) / "data"
        async with Database.embedded(data, embedding_dimensions=dimensions) as database:
            with EmbeddedServer.start(data) as server:
                admin_url = server.admin_url
            return [
                *await writing.measure(database, rows=rows, dimensions=dimensions, rounds=rounds),
                *await reading.measure(database, rows=rows, dimensions=dimensions, rounds=rounds),
                *await reading.importing(rounds=rounds),
                *await telemetry.singles(database, events=events, rounds=rounds),
                *await telemetry.retention(database, admin_url, rows=retained, rounds=rounds),
            ]


def main(
    rows: Annotated[int, typer.Option(help="Rows that are written and searched.")] = 2_000,
    dimensions: Annotated[int, typer.Option(help="Dimensions of an embedding.")] = 1_024,
    rounds: Annotated[int, typer.Option(help="Measured rounds; the median counts.")] = 3,
    events: Annotated[int, typer.Option(help="Single events that are recorded.")] = 2_000,
    retained: Annotated[int, typer.Option(help="Events of a month that has grown too old.")] = 100_000,
    output: Annotated[Path | None, typer.Option("--json", help="File for the figures.")] = None,
) -> None:
    figures = asyncio.run(measured(rows=rows, dimensions=dimensions, rounds=rounds, events=events, retained=retained))
    table = Table("work", "way", "ms", "× the first")
    for figure in figures:
        table.add_row(figure.work, figure.way, f"{figure.seconds * 1e3:,.2f}", f"{figure.ratio:.2f}")
    Console().print(table)
    if output is not None:
        output.write_text(json.dumps([asdict(figure) for figure in figures], indent=2))


typer.run(main)
