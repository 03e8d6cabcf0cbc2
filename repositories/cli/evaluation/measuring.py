"""Searches: one for the quality of each query, and others for the latency."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from enum import StrEnum
from time import perf_counter
from typing import TYPE_CHECKING, Final

from domain import SearchHits
from repositories.cli.evaluation.measures import hit, ndcg, percentile, recall, reciprocal_rank

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pgvector import Vector

    from domain import KnowledgeChunk, ReadUnitOfWork
    from repositories.cli.demo.recording import Opens
    from repositories.cli.evaluation.collection import CollectionQuery

DEPTH: Final = 10
"""Depth of the measures, and limit of the searches whose latency is measured."""

DEEP: Final = 100
"""Limit of the searches for quality, and depth of the second recall."""

TIMED_QUERIES: Final = 200
REPETITIONS: Final = 3


class Kind(StrEnum):
    """A kind of search."""

    KEYWORD = "keyword"
    VECTOR = "vector"
    HYBRID = "hybrid"


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Quality and latency of one kind of search; None if there was nothing to measure.

    The measures are means over the queries that have a relevant document. `mrr` is the mean
    reciprocal rank among the first 100. Latencies are of one search for ten, from the call to its
    hits.
    """

    ndcg_at_10: float | None
    recall_at_10: float | None
    recall_at_100: float | None
    hit_at_1: float | None
    hit_at_10: float | None
    mrr: float | None
    queries_without_result: int
    latency_p50_ms: float | None
    latency_p99_ms: float | None
    searches_timed: int


@dataclass(slots=True)
class Measurement:
    """The sums for one kind of search."""

    judged_queries: int = 0
    ndcg: float = 0.0
    recall: float = 0.0
    deep_recall: float = 0.0
    first_hits: float = 0.0
    hits: float = 0.0
    reciprocal_ranks: float = 0.0
    without_result: int = 0
    milliseconds: array[float] = field(default_factory=lambda: array("d"))

    def add(self, ranking: Sequence[str], grades: Mapping[str, int]) -> None:
        """Add the ranking of one query."""
        self.without_result += not ranking
        if not any(grades.values()):
            return
        self.judged_queries += 1
        self.ndcg += ndcg(ranking, grades, depth=DEPTH)
        self.recall += recall(ranking, grades, depth=DEPTH)
        self.deep_recall += recall(ranking, grades, depth=DEEP)
        self.first_hits += hit(ranking, grades, depth=1)
        self.hits += hit(ranking, grades, depth=DEPTH)
        self.reciprocal_ranks += reciprocal_rank(ranking, grades)

    def figures(self) -> Figures:
        """Return the means and percentiles."""
        timed = len(self.milliseconds)
        return Figures(
            ndcg_at_10=self._mean(self.ndcg),
            recall_at_10=self._mean(self.recall),
            recall_at_100=self._mean(self.deep_recall),
            hit_at_1=self._mean(self.first_hits),
            hit_at_10=self._mean(self.hits),
            mrr=self._mean(self.reciprocal_ranks),
            queries_without_result=self.without_result,
            latency_p50_ms=percentile(self.milliseconds, 50) if timed else None,
            latency_p99_ms=percentile(self.milliseconds, 99) if timed else None,
            searches_timed=timed,
        )

    def _mean(self, total: float) -> float | None:
        return total / self.judged_queries if self.judged_queries else None


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddedQuery:
    """A query with its embedding; without one, hybrid search uses the words only."""

    query: CollectionQuery
    embedding: Vector | None


async def measure_quality(
    database: Opens,
    query: EmbeddedQuery,
    grades: Mapping[str, int],
    measurements: Mapping[Kind, Measurement],
) -> None:
    """Search for one query with each kind of search, once."""
    for kind, measurement in measurements.items():
        async with database.reader() as view:
            hits = await _search(view, kind, query, limit=DEEP)
        measurement.add([result.item.chunk_id for result in hits], grades)


async def measure_latency(
    database: Opens, query: EmbeddedQuery, measurements: Mapping[Kind, Measurement]
) -> None:
    """Time some searches for one query with each kind of search; each has a reader of its own."""
    for kind, measurement in measurements.items():
        if kind is Kind.VECTOR and query.embedding is None:
            continue
        for _ in range(REPETITIONS):
            async with database.reader() as view:
                started = perf_counter()
                await _search(view, kind, query, limit=DEPTH)
                measurement.milliseconds.append((perf_counter() - started) * 1_000)


def sample(queries: Sequence[EmbeddedQuery], size: int = TIMED_QUERIES) -> list[EmbeddedQuery]:
    """Return at most `size` queries at equal distances."""
    if len(queries) <= size:
        return list(queries)
    return [queries[number * len(queries) // size] for number in range(size)]


async def _search(
    view: ReadUnitOfWork, kind: Kind, query: EmbeddedQuery, *, limit: int
) -> SearchHits[KnowledgeChunk]:
    text, embedding = query.query.text, query.embedding
    if kind is Kind.VECTOR:
        if embedding is None:
            return SearchHits()
        return await view.knowledge.vector_search(embedding, limit=limit)
    if kind is Kind.HYBRID and embedding is not None:
        return await view.knowledge.hybrid_search(text, embedding, limit=limit)
    return await view.knowledge.keyword_search(text, limit=limit)
