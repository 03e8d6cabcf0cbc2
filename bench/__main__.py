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

from bench import reading, writing
from bench.measuring import Figure
from repositories import Database


async def measured(*, rows: int, dimensions: int, rounds: int) -> list[Figure]:
    with tempfile.TemporaryDirectory(prefix="recollect-bench-") as folder:
        async with Database.embedded(Path(folder) / "data", embedding_dimensions=dimensions) as database:
            return [
                *await writing.measure(database, rows=rows, dimensions=dimensions, rounds=rounds),
                *await reading.measure(database, rows=rows, dimensions=dimensions, rounds=rounds),
            ]


def main(
    rows: Annotated[int, typer.Option(help="Rows that are written and searched.")] = 2_000,
    dimensions: Annotated[int, typer.Option(help="Dimensions of an embedding.")] = 1_024,
    rounds: Annotated[int, typer.Option(help="Measured rounds; the median counts.")] = 3,
    output: Annotated[Path | None, typer.Option("--json", help="File for the figures.")] = None,
) -> None:
    figures = asyncio.run(measured(rows=rows, dimensions=dimensions, rounds=rounds))
    table = Table("work", "way", "ms", "× the first")
    for figure in figures:
        table.add_row(figure.work, figure.way, f"{figure.seconds * 1e3:,.2f}", f"{figure.ratio:.2f}")
    Console().print(table)
    if output is not None:
        output.write_text(json.dumps([asdict(figure) for figure in figures], indent=2))


typer.run(main)
