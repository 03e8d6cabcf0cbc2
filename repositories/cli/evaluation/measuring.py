"""Searches that are run, rated and timed."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from enum import StrEnum
from time import perf_counter
from typing import TYPE_CHECKING, Final

from domain import SearchHits
from repositories.cli.evaluation.measures import ndcg, percentile, recall

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pgvector import Vector

    from domain import KnowledgeChunk, ReadUnitOfWork
    from repositories.cli.demo.recording import Opens
    from repositories.cli.evaluation.collection import Query

NDCG_DEPTH: Final = 10
RECALL_DEPTH: Final = 100
REPETITIONS: Final = 3


class Kind(StrEnum):
    """A way to search."""

    KEYWORD = "keyword"
    VECTOR = "vector"
    HYBRID = "hybrid"


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What one kind of search is worth; None where nothing was rated or timed.

    `ndcg_at_10` and `recall_at_100` are means over the queries that have a relevant document; the
    others are about all queries. Latencies are of one search for ten, from the call to its hits.
    """

    ndcg_at_10: float | None
    recall_at_100: float | None
    queries_without_result: int
    latency_p50_ms: float | None
    latency_p99_ms: float | None
    searches_timed: int


@dataclass(slots=True)
class Measurement:
    """What one kind of search did so far."""

    rated: int = 0
    ndcg: float = 0.0
    recall: float = 0.0
    without_result: int = 0
    milliseconds: array[float] = field(default_factory=lambda: array("d"))

    def rate(self, first: list[str], deep: list[str], grades: Mapping[str, int]) -> None:
        """Count the answers to one query: the first ten, and the first hundred."""
        self.without_result += not first
        if any(grades.values()):
            self.rated += 1
            self.ndcg += ndcg(first, grades, depth=NDCG_DEPTH)
            self.recall += recall(deep, grades, depth=RECALL_DEPTH)

    def figures(self) -> Figures:
        """Return the means and percentiles."""
        timed = len(self.milliseconds)
        return Figures(
            ndcg_at_10=self.ndcg / self.rated if self.rated else None,
            recall_at_100=self.recall / self.rated if self.rated else None,
            queries_without_result=self.without_result,
            latency_p50_ms=percentile(self.milliseconds, 50) if timed else None,
            latency_p99_ms=percentile(self.milliseconds, 99) if timed else None,
            searches_timed=timed,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A query with its embedding; without one it is asked by words alone."""

    query: Query
    embedding: Vector | None


async def measure(
    database: Opens,
    asked: Asked,
    grades: Mapping[str, int],
    measurements: Mapping[Kind, Measurement],
) -> None:
    """Ask one query in every way.

    Once for a hundred, once for ten, and then some times more against the clock.
    """
    for kind, measurement in measurements.items():
        deep, _ = await _ask(database, kind, asked, limit=RECALL_DEPTH)
        first, _ = await _ask(database, kind, asked, limit=NDCG_DEPTH)
        measurement.rate(first, deep, grades)
        if kind is Kind.VECTOR and asked.embedding is None:
            continue
        for _ in range(REPETITIONS):
            _, seconds = await _ask(database, kind, asked, limit=NDCG_DEPTH)
            measurement.milliseconds.append(seconds * 1_000)


async def _ask(database: Opens, kind: Kind, asked: Asked, *, limit: int) -> tuple[list[str], float]:
    """Return the names of the documents found, best first, and how long it took.

    Each search has a reader of its own.
    """
    async with database.reader() as view:
        started = perf_counter()
        hits = await _search(view, kind, asked, limit=limit)
        seconds = perf_counter() - started
    return [hit.item.chunk_id for hit in hits], seconds


async def _search(
    view: ReadUnitOfWork, kind: Kind, asked: Asked, *, limit: int
) -> SearchHits[KnowledgeChunk]:
    if kind is not Kind.KEYWORD and asked.embedding is not None:
        if kind is Kind.VECTOR:
            return await view.knowledge.vector_search(asked.embedding, limit=limit)
        return await view.knowledge.hybrid_search(asked.query.text, asked.embedding, limit=limit)
    return (
        SearchHits()
        if kind is Kind.VECTOR
        else await view.knowledge.keyword_search(asked.query.text, limit=limit)
    )
