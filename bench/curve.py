"""Recall against latency.

The ten nearest, with lists of candidates of growing length, and with every row compared.
"""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from bench.clock import median
from bench.nearest import FILTERS, K
from bench.vectors import Truth
from domain import Distance

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from bench.nearest import Filters
    from bench.vectors import Space, Vectors
    from domain import KnowledgeChunk, ReadUnitOfWork, SearchHits
    from repositories import Database

    Search: TypeAlias = Callable[[ReadUnitOfWork, Vectors], Awaitable[SearchHits[KnowledgeChunk]]]

EF_SEARCH = (20, 40, 80, 160, 320, 640)
"""From the least that a search for ten uses."""

FILTER = "10 %"

WAYS: dict[str, Search] = {
    "no filter": lambda view, query: view.knowledge.vector_search(query, limit=K),
    f"{FILTER} filter": lambda view, query: view.knowledge.vector_search(
        query, limit=K, where=FILTERS[FILTER]
    ),
}


@dataclass(frozen=True)
class CurvePoint:
    """One way to search with lists of `ef_search` candidates; None where every row is compared."""

    way: str
    ef_search: int | None
    recall: float
    p50: float


async def measure(
    open_database: Callable[[int], Database], space: Space, filters: Filters, *, queries: int
) -> list[CurvePoint]:
    """Ask each question with every setting in turn, so that noise affects all of them.

    All vectors are of length one, so that by L2, which has no index, the same rows are nearest.
    """
    everything = Truth(space.vectors, np.ones(len(space.vectors), dtype=np.bool_))
    truths = {
        "no filter": everything,
        f"{FILTER} filter": Truth(space.vectors, filters.flags[FILTER]),
    }
    points: dict[tuple[str, int | None], tuple[list[float], list[float]]] = {}
    async with AsyncExitStack() as stack:
        databases = [
            (ef_search, await stack.enter_async_context(open_database(ef_search)))
            for ef_search in EF_SEARCH
        ]
        for query in space.queries(queries):
            for ef_search, database in databases:
                for way, search in WAYS.items():
                    await _ask(database, search, query)  # reads what the last question did not
                    figures = points.setdefault((way, ef_search), ([], []))
                    _note(
                        figures,
                        *await _ask(database, search, query),
                        truth=truths[way],
                        query=query,
                    )
            exact = points.setdefault(("every row compared", None), ([], []))
            _note(
                exact,
                *await _ask(databases[0][1], _past_the_index, query),
                truth=everything,
                query=query,
            )
    return [
        CurvePoint(way, ef_search, float(np.mean(recalls)), median(milliseconds))
        for (way, ef_search), (recalls, milliseconds) in sorted(
            points.items(), key=lambda item: (item[0][0], item[0][1] or 0)
        )
    ]


async def _past_the_index(view: ReadUnitOfWork, query: Vectors) -> SearchHits[KnowledgeChunk]:
    return await view.knowledge.vector_search(query, limit=K, distance=Distance.L2)


async def _ask(database: Database, search: Search, query: Vectors) -> tuple[list[int], float]:
    async with database.reader() as view:
        started = perf_counter()
        hits = await search(view, query)
        milliseconds = (perf_counter() - started) * 1_000
    return [int(hit.item.chunk_id) for hit in hits], milliseconds


def _note(
    figures: tuple[list[float], list[float]],
    rows: list[int],
    milliseconds: float,
    *,
    truth: Truth,
    query: Vectors,
) -> None:
    figures[0].append(truth.recall(query, rows, k=K))
    figures[1].append(milliseconds)
