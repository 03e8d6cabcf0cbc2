"""Embeddings beyond what an index of plain vectors holds.

Written and searched through the repositories.
"""

from __future__ import annotations

from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING

from pgvector import Vector

from bench.clock import median
from bench.fixture import analyze
from bench.vectors import Space
from bench.watch import explain, indexes, watching
from domain import KnowledgeChunk
from repositories import Database

if TYPE_CHECKING:
    from collections.abc import Iterator

    from repositories import EmbeddedServer

K = 10
IN_A_UNIT = 250


@dataclass(frozen=True)
class WideFigures:
    """Rows of so many dimensions.

    How fast they are written, what the index is over, and how good ten of them are.
    """

    dimensions: int
    rows: int
    written_per_second: float
    indexes: list[str]
    fewest_rows: int
    p50: float


async def measure(
    server: EmbeddedServer, dimensions: int, *, rows: int, queries: int
) -> WideFigures:
    space = Space.of(rows, dimensions)
    url = server.create_database(f"wide_{dimensions}")
    async with Database.from_url(url, migrate=True, embedding_dimensions=dimensions) as database:
        started = perf_counter()
        for start in range(0, rows, IN_A_UNIT):
            async with database.unit_of_work() as uow:
                await uow.knowledge.upsert_many(_chunks(space, start, min(start + IN_A_UNIT, rows)))
                await uow.commit()
        seconds = perf_counter() - started
        await analyze(database)
        figures = await _search(database, space, queries)
        counts, milliseconds = zip(*figures, strict=True)
        return WideFigures(
            dimensions=dimensions,
            rows=rows,
            written_per_second=rows / seconds,
            indexes=await _indexes(database, space),
            fewest_rows=min(counts),
            p50=median(milliseconds),
        )


def _chunks(space: Space, start: int, end: int) -> Iterator[KnowledgeChunk]:
    for row in range(start, end):
        name = str(row)
        yield KnowledgeChunk(
            chunk_id=name,
            source=name,
            source_type="doc",
            content=f"passage {name}",
            embedding=Vector(space.vectors[row]),
        )


async def _search(database: Database, space: Space, queries: int) -> list[tuple[int, float]]:
    figures = []
    for query in space.queries(queries):
        async with database.reader() as view:
            await view.knowledge.vector_search(query, limit=K)
            started = perf_counter()
            hits = await view.knowledge.vector_search(query, limit=K)
            milliseconds = (perf_counter() - started) * 1_000
        figures.append((len(hits), milliseconds))
    return figures


async def _indexes(database: Database, space: Space) -> list[str]:
    with watching(database) as watch:
        async with database.reader() as view:
            await view.knowledge.vector_search(space.near, limit=K)
    async with database.read_engine.connect() as connection:
        return indexes(await explain(connection, watch))
