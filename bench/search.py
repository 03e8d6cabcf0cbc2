"""Measure searches: `python -m bench.search --help`.

Words against the plain query, vectors under filters, both together, plans
after ten executions, and wide embeddings; on a server of its own, in tables of `--rows` rows and of
a tenth of them. `bench.page` writes docs/explanation/search.md from the figures.
"""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from bench import both, nearest, tables, wide, words
from bench.fixture import Labels, fill, server
from bench.machine import Machine
from bench.vectors import Space
from repositories import Database

if TYPE_CHECKING:
    from pydantic import SecretStr

    from repositories import EmbeddedServer

WIDE = (3_072, 4_096)
QUICK_ROWS = 5_000


@dataclass(frozen=True, kw_only=True)
class Size:
    """How much is measured."""

    rows: int
    dimensions: int
    queries: int
    samples: int
    wide_rows: int


@dataclass(kw_only=True)
class Results:
    """Everything that was measured; the fields are the keys of the JSON."""

    rows: int
    dimensions: int
    machine: Machine | None = None
    words: list[words.WordsFigures] = field(default_factory=list)
    nearest: list[nearest.NearestFigures] = field(default_factory=list)
    arms_small: list[both.ArmFigures] = field(default_factory=list)
    arms: list[both.ArmFigures] = field(default_factory=list)
    plans: list[both.PlanFigures] = field(default_factory=list)
    wide: list[wide.WideFigures] = field(default_factory=list)


class Run:
    """One measurement from end to end."""

    def __init__(self, size: Size) -> None:
        self.size = size
        self.results = Results(rows=size.rows, dimensions=size.dimensions)
        self._console = Console(stderr=True)
        self._started = time.monotonic()

    async def everything(self, server: EmbeddedServer) -> Results:
        size = self.size
        self._note(f"filling {size.rows // 10:,} rows")
        space = Space.of(size.rows // 10, size.dimensions)
        async with self._database(server.create_database("small")) as small:
            await fill(small, space, Labels.none(size.rows // 10))
            self._note("words in the small table")
            self.results.words += await words.measure(
                small, rows=size.rows // 10, samples=size.samples
            )
            self.results.arms_small = await both.arms(small, space, queries=size.queries)
        self._note(f"filling {size.rows:,} rows and building their indexes")
        space = Space.of(size.rows, size.dimensions)
        filters = nearest.Filters(space)
        url = server.create_database("large")
        async with self._database(url) as large:
            await fill(large, space, filters.labels())
            await self._large(large, space)
            self.results.machine = await Machine.of(large)
        for dimensions in WIDE:
            self._note(f"writing {size.wide_rows:,} rows of {dimensions:,} dimensions")
            self.results.wide.append(
                await wide.measure(server, dimensions, rows=size.wide_rows, queries=size.queries)
            )
        self._note("done")
        return self.results

    async def _large(self, database: Database, space: Space) -> None:
        size = self.size
        self._note("words in the large table")
        self.results.words += await words.measure(database, rows=size.rows, samples=size.samples)
        self._note("both together, and plans")
        self.results.arms = await both.arms(database, space, queries=size.queries)
        self.results.plans = await both.plans(database, space)
        self._note("vectors under filters, after deletions, among copies")
        self.results.nearest = await nearest.measure(database, space, queries=size.queries)

    def _database(self, url: SecretStr) -> Database:
        # One connection: every statement meets the plans that were prepared on it before. Building
        # an index takes minutes.
        settings: dict[str, Any] = {"pool_size": 1, "max_overflow": 0, "statement_timeout": 0}
        settings |= {"embedding_dimensions": self.size.dimensions}
        return Database.from_url(url, migrate=True, **settings)

    def _note(self, what: str) -> None:
        self._console.print(f"{time.monotonic() - self._started:6.0f} s  {what}", highlight=False)


def main(
    rows: Annotated[
        int,
        typer.Option(min=1_000, help="Rows in the large table; the small one has a tenth of them."),
    ] = 50_000,
    dimensions: Annotated[
        int, typer.Option(min=8, max=2_000, help="Dimensions of their embeddings.")
    ] = 1_024,
    quick: Annotated[bool, typer.Option("--quick", help="Measure fewer rows.")] = False,  # noqa: FBT002 -- an option
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Also write the figures as JSON.")
    ] = None,
) -> None:
    """Measure searches, and print what they cost and how good they are."""
    size = Size(rows=rows, dimensions=dimensions, queries=50, samples=200, wide_rows=2_000)
    if quick:
        size = Size(rows=QUICK_ROWS, dimensions=dimensions, queries=20, samples=40, wide_rows=500)
    with server() as running:
        results = asyncio.run(Run(size).everything(running))
    if json_file is not None:
        json_file.write_text(json.dumps(asdict(results), indent=2) + "\n", encoding="utf-8")
    console = Console(width=None if Console().is_terminal else 150)
    for table in tables.of(
        results.words, results.nearest, results.arms, results.plans, results.wide
    ):
        console.print(table)


if __name__ == "__main__":
    typer.run(main)
