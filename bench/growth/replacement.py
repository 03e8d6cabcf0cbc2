"""Recall of vector search after most rows were replaced, with maintenance and without.

`python -m bench.growth.replacement` fills two databases with 50,000 rows, replaces 40,000 and adds
30,000 in each. Then `maintain` runs in one, and the other is vacuumed, as autovacuum does. It takes
ten minutes, and fails if maintenance does not keep the recall, or if nothing is lost without it.
`--rows 10000` is a short version.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import numpy as np
import typer
from rich.console import Console
from rich.table import Table
from sqlalchemy import text

from bench.fixture import server
from bench.machine import Machine
from bench.vectors import ROWS_IN_A_CLUSTER, TIE, normalized
from domain import KnowledgeChunk, known_dimensions
from repositories import Database, EmbeddedServer
from repositories.operations.vector_indexes import examine_vector_indexes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bench.vectors import Vectors

REPLACED, ADDED = 0.8, 0.6
"""The shares of the rows that are replaced and added."""

LEAST_MEAN, LEAST = 0.95, 0.5
"""The recall that maintenance keeps: in the mean, and of each query."""

DIMENSIONS: Final = 64
QUERIES: Final = 200
NEIGHBOURS: Final = 10
_BATCH: Final = 500
_TENANT: Final = "default"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recall:
    """The recall of a sample of searches against an exact search.

    Attributes:
        when: what was done before.
        maintained: whether the database has its maintenance.
        mean: the mean share of the ten nearest rows that a search returns.
        lowest: the lowest share.
        index: the mean recall of scans of the HNSW index, which the planner may not choose.
        index_lowest: the lowest recall of these.
        dead: the share of dead rows in the table.
        rebuilt: the indexes that maintenance rebuilt.
    """

    when: str
    maintained: bool
    mean: float
    lowest: float
    index: float
    index_lowest: float
    dead: float
    rebuilt: Sequence[str] = ()


class Passages:
    """The rows of one database: each has a vector near a centre, and moves when it is replaced."""

    def __init__(self, rows: int) -> None:
        self._random = np.random.default_rng(7)
        count = max(20, rows // ROWS_IN_A_CLUSTER)
        self._centres = normalized(self._normal(count))
        self.vectors: Vectors = np.empty((0, DIMENSIONS), dtype=np.float32)

    def near_centres(self, count: int) -> Vectors:
        """Return so many vectors, each near a random centre."""
        homes = self._centres[self._random.integers(len(self._centres), size=count)]
        noise = normalized(self._normal(count))
        return normalized(homes + noise)

    def _normal(self, count: int) -> Vectors:
        return self._random.standard_normal((count, DIMENSIONS), dtype=np.float32)

    def some(self, count: int) -> NDArray[np.intp]:
        """Return the numbers of so many rows, each once, in a random order."""
        return self._random.permutation(len(self.vectors))[:count]

    def move(self, numbers: NDArray[np.intp]) -> list[KnowledgeChunk]:
        """Give these rows new vectors, and return them; numbers that follow the last are new."""
        new = max(0, int(numbers.max()) + 1 - len(self.vectors))
        self.vectors = np.vstack([self.vectors, np.empty((new, DIMENSIONS), dtype=np.float32)])
        self.vectors[numbers] = self.near_centres(len(numbers))
        with known_dimensions(DIMENSIONS):
            return [
                KnowledgeChunk(
                    chunk_id=f"{number}",
                    source="page",
                    source_type="doc",
                    content=f"passage {number}",
                    embedding=self.vectors[number],
                )
                for number in numbers
            ]


async def _write(database: Database, passages: Passages, numbers: NDArray[np.intp]) -> None:
    for part in np.array_split(numbers, max(1, len(numbers) // _BATCH)):
        chunks = passages.move(part)
        async with database.unit_of_work() as uow:
            await uow.knowledge.upsert_many(chunks)
            await uow.commit()


async def _measured(
    database: Database,
    passages: Passages,
    when: str,
    *,
    maintained: bool,
    rebuilt: Sequence[str] = (),
) -> Recall:
    shares = []
    async with database.reader() as view:
        for query in passages.near_centres(QUERIES):
            distances = 1 - passages.vectors @ query
            tenth = np.partition(distances, NEIGHBOURS - 1)[NEIGHBOURS - 1] + TIE
            hits = await view.knowledge.vector_search(query, limit=NEIGHBOURS)
            rows = [int(hit.item.chunk_id) for hit in hits]
            shares.append(float(np.sum(distances[rows] <= tenth)) / NEIGHBOURS)
    (index,) = [
        index
        for index in await examine_vector_indexes(
            database.engine, ef_search=database.settings.ef_search, sample=QUERIES
        )
        if index.table == "knowledge"
    ]
    return Recall(
        when=when,
        maintained=maintained,
        mean=round(float(np.mean(shares)), 4),
        lowest=min(shares),
        index=index.recall or 0.0,
        index_lowest=index.lowest or 0.0,
        dead=index.dead,
        rebuilt=rebuilt,
    )


async def _run(running: EmbeddedServer, rows: int, *, maintained: bool) -> list[Recall]:
    url = running.create_database("maintained" if maintained else "neglected")
    settings: dict[str, Any] = {"embedding_dimensions": DIMENSIONS, "statement_timeout": 0}
    async with Database.from_url(url, migrate=True, **settings) as database:
        passages = Passages(rows)
        await _write(database, passages, np.arange(rows))
        await database.isolate_tenant(_TENANT)
        await database.vacuum()
        async with database.engine.begin() as connection:
            await connection.execute(text("ALTER TABLE knowledge SET (autovacuum_enabled = off)"))
        figures = [await _measured(database, passages, "filled", maintained=maintained)]
        await _write(database, passages, passages.some(round(rows * REPLACED)))
        added = len(passages.vectors) + np.arange(round(rows * ADDED))
        await _write(database, passages, added)
        figures.append(
            await _measured(database, passages, "replaced and added", maintained=maintained)
        )
        if maintained:
            done = await database.maintain()
            figures.append(
                await _measured(
                    database, passages, "maintain", maintained=True, rebuilt=done.rebuilt
                )
            )
        else:
            await database.vacuum()
            figures.append(await _measured(database, passages, "VACUUM", maintained=False))
        return figures


async def run(running: EmbeddedServer, rows: int) -> tuple[list[Recall], Machine]:
    """Measure a database with maintenance and one without, at the same time."""
    both = await asyncio.gather(
        *(_run(running, rows, maintained=maintained) for maintained in (True, False))
    )
    async with Database.from_url(
        running.create_database("machine"), migrate=True, embedding_dimensions=DIMENSIONS
    ) as database:
        return [figure for figures in both for figure in figures], await Machine.of(database)


def failures(figures: Sequence[Recall]) -> list[str]:
    """Return a sentence for each bar that the maintained database missed, and for the control."""
    last = [figure for figure in figures if figure.maintained][-1]
    control = [figure for figure in figures if not figure.maintained][-1]
    missed = []
    if last.mean < LEAST_MEAN:
        missed.append(f"the mean recall is {last.mean:.3f}, below {LEAST_MEAN}")
    if last.lowest < LEAST:
        missed.append(f"a query has a recall of {last.lowest}, below {LEAST}")
    if last.index < LEAST_MEAN:
        missed.append(f"the mean recall of the index is {last.index:.3f}, below {LEAST_MEAN}")
    if last.index_lowest < LEAST:
        missed.append(f"a scan of the index has a recall of {last.index_lowest}, below {LEAST}")
    if control.index >= last.index:
        missed.append("without maintenance the index loses nothing: the control shows no loss")
    return missed


def main(
    rows: Annotated[int, typer.Option(help="The number of rows before the changes.")] = 50_000,
    output: Annotated[Path | None, typer.Option("--json", help="File for the figures.")] = None,
) -> None:
    """Measure, print the recall, and exit with 1 if maintenance does not keep it."""
    with server() as running:
        figures, machine = asyncio.run(run(running, rows))
    if output is not None:
        measured = {"machine": asdict(machine), "recall": [asdict(one) for one in figures]}
        output.write_text(f"{json.dumps(measured, indent=1)}\n", encoding="utf-8")
    shown = Table("maintenance", "after", "recall", "lowest", "index", "lowest", "dead", "rebuilt")
    for one in figures:
        shown.add_row(
            "yes" if one.maintained else "no",
            one.when,
            f"{one.mean:.3f}",
            f"{one.lowest:.1f}",
            f"{one.index:.3f}",
            f"{one.index_lowest:.1f}",
            f"{one.dead:.0%}",
            ", ".join(one.rebuilt),
        )
    console, missed = Console(), failures(figures)
    console.print(shown)
    for sentence in missed:
        console.print(sentence)
    raise typer.Exit(1 if missed else 0)


if __name__ == "__main__":
    typer.run(main)
