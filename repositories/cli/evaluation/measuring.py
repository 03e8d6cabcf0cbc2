"""Measurements: one search for the quality of each query, and others for the latency."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from time import perf_counter
from typing import TYPE_CHECKING, Final

from repositories.cli.evaluation.measures import hit, ndcg, percentile, recall, reciprocal_rank
from repositories.cli.evaluation.searching import Kind

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from repositories.cli.evaluation.searching import EmbeddedQuery, Searcher

DEPTH: Final = 10
"""Depth of the measures, and limit of the searches whose latency is measured."""

DEEP: Final = 100
"""Limit of the searches for quality, and depth of the second recall."""

TIMED_QUERIES: Final = 50
REPETITIONS: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Quality and latency of one kind of search; None if there was nothing to measure.

    The measures are means over the queries that have a relevant document. `mrr` is the mean
    reciprocal rank among the first 100. Latencies are of one search for ten, with the reader that
    it opens.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexLoss:
    """The loss of the vector index against exact search, over the queries with an embedding.

    `recall_at_10` is the mean share of the ten nearest documents that the index returns.
    """

    queries: int
    queries_that_miss_a_document: int
    recall_at_10: float | None
    ndcg_at_10: float | None


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


@dataclass(slots=True)
class Measurements:
    """The sums of all kinds of search, and what the index misses."""

    kinds: dict[Kind, Measurement] = field(
        default_factory=lambda: {kind: Measurement() for kind in Kind}
    )
    compared: int = 0
    missing: int = 0
    shares: float = 0.0

    def add(self, rankings: Mapping[Kind, Sequence[str]], grades: Mapping[str, int]) -> None:
        """Add the rankings of one query."""
        for kind, ranking in rankings.items():
            self.kinds[kind].add(ranking, grades)
        nearest = rankings[Kind.EXACT][:DEPTH]
        if nearest:
            share = index_recall(rankings[Kind.VECTOR], nearest)
            self.compared += 1
            self.missing += share < 1
            self.shares += share

    def index_loss(self) -> IndexLoss:
        """Return the loss of the index."""
        index, exact = (self.kinds[kind] for kind in (Kind.VECTOR, Kind.EXACT))
        judged = index.judged_queries
        return IndexLoss(
            queries=self.compared,
            queries_that_miss_a_document=self.missing,
            recall_at_10=self.shares / self.compared if self.compared else None,
            ndcg_at_10=(exact.ndcg - index.ndcg) / judged if judged else None,
        )


def index_recall(ranking: Sequence[str], nearest: Sequence[str]) -> float:
    """Return the share of the nearest documents that is among the first ones of the ranking."""
    return len(set(nearest) & set(ranking[: len(nearest)])) / len(nearest)


async def measure_quality(
    searcher: Searcher, query: EmbeddedQuery, grades: Mapping[str, int], measured: Measurements
) -> None:
    """Search for one query with each kind of search, once."""
    rankings = {kind: await searcher.ids(kind, query, limit=DEEP) for kind in Kind}
    measured.add(rankings, grades)


async def measure_latency(searcher: Searcher, query: EmbeddedQuery, measured: Measurements) -> None:
    """Time some searches for one query with each kind of search."""
    for kind, measurement in measured.kinds.items():
        if kind in {Kind.VECTOR, Kind.EXACT} and query.embedding is None:
            continue
        for _ in range(REPETITIONS):
            started = perf_counter()
            await searcher.ids(kind, query, limit=DEPTH)
            measurement.milliseconds.append((perf_counter() - started) * 1_000)


def sample(queries: Sequence[EmbeddedQuery], size: int = TIMED_QUERIES) -> list[EmbeddedQuery]:
    """Return at most `size` queries at equal distances."""
    if len(queries) <= size:
        return list(queries)
    return [queries[number * len(queries) // size] for number in range(size)]
