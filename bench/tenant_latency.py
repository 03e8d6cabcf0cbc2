"""Compare the latency of a tenant's searches in two databases, on real text.

The second database has the same rows of the tenant, and differs in one thing: it has no other
tenants, or a tenth of them, or no row-level security.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import numpy as np

from bench.clock import Cpu, alternate
from domain import Category, Finding, Review, Severity

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from bench.populations import Corpus, Population
    from bench.vectors import Vectors
    from repositories import Database

K: Final = 10
CPU_QUERIES: Final = 80
CPU_BLOCK: Final = 10
"""Searches in one database before the same ones in the other."""
TITLE: Final = 200
"""Characters of a finding's title."""


@dataclass(frozen=True)
class Query:
    """A query as text, and its embedding."""

    text: str
    vector: Vectors


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One search of a tenant in two databases, in turn; times are in milliseconds.

    `reference` says what differs in the database of `reference_p50` and `reference_p95`. `ratio` is
    how many times as long a search takes as the same search in the other database right before or
    after it: the median over the queries. Other programs make searches slow for seconds at a time.
    They slow down both searches of a pair, but can move one of two medians and not the other.
    `cpu` and `reference_cpu` are the processor time of client and server in a search.
    """

    reference: str
    population: str
    tenant: str
    rows: int
    search: str
    p50: float
    p95: float
    reference_p50: float
    reference_p95: float
    ratio: float
    cpu: float | None = None
    reference_cpu: float | None = None


SEARCHES: Final[Mapping[str, Callable[[Any, Query], Awaitable[Any]]]] = {
    "vector": lambda view, query: view.knowledge.vector_search(query.vector, limit=K),
    "keyword": lambda view, query: view.knowledge.keyword_search(query.text, limit=K),
    "hybrid": lambda view, query: view.knowledge.hybrid_search(query.text, query.vector, limit=K),
    "findings, keyword": lambda view, query: view.findings.keyword_search(query.text, limit=K),
}


async def compared(
    database: Database,
    other: Database,
    *,
    reference: str,
    population: str,
    tenant: str,
    rows: int,
    queries: Sequence[Query],
    searches: Sequence[str] = tuple(SEARCHES),
) -> list[Comparison]:
    """Return each search of the tenant in both databases, with the queries in turn."""
    comparisons = []
    for name in searches:
        ways = [partial(_search, one, tenant, name) for one in (database, other)]
        times, reference_times = await alternate(ways, queries, samples=len(queries))
        cpu, reference_cpu = await _processor_times((database, other), ways, queries)
        comparisons.append(
            Comparison(
                reference=reference,
                population=population,
                tenant=tenant,
                rows=rows,
                search=name,
                p50=float(np.median(times)),
                p95=float(np.quantile(times, 0.95)),
                reference_p50=float(np.median(reference_times)),
                reference_p95=float(np.quantile(reference_times, 0.95)),
                ratio=float(np.median(np.divide(times, reference_times))),
                cpu=cpu,
                reference_cpu=reference_cpu,
            )
        )
    return comparisons


async def _processor_times(
    databases: Sequence[Database],
    ways: Sequence[Callable[[Query], Awaitable[object]]],
    queries: Sequence[Query],
) -> list[float]:
    """Return the processor time of a search in each database, which blocks of queries alternate."""
    clocks = [await Cpu.of(database) for database in databases]
    some = queries[:CPU_QUERIES]
    times = [0.0 for _ in ways]
    for start in range(0, len(some), CPU_BLOCK):
        for place, (clock, way) in enumerate(zip(clocks, ways, strict=True)):
            clock.start()
            for query in some[start : start + CPU_BLOCK]:
                await way(query)
            times[place] += clock.taken(len(some))
    return times


async def _search(database: Database, tenant: str, name: str, query: Query) -> object:
    async with database.reader(tenant=tenant) as view:
        return await SEARCHES[name](view, query)


def queries_of(corpus: Corpus, passages: Sequence[int], count: int) -> list[Query]:
    """Return queries about the packages of the passages, most frequent first."""
    frequent = Counter(corpus.packages[passage] for passage in passages).most_common()
    names = [name for name, _ in frequent if name in corpus.queries]
    return [
        Query(text, vector)
        for name in names
        for text, vector in zip(corpus.query_texts[name], corpus.queries[name], strict=True)
    ][:count]


async def add_findings(database: Database, corpus: Corpus, population: Population) -> None:
    """Store a finding about each passage, titled with its beginning, in one review of each tenant.

    Tenants are written in turn, so the findings of one are not interleaved with those of others.
    """
    for tenant, passages in population.by_tenant().items():
        review = Review(repo="acme/api", pr_number=1)
        async with database.unit_of_work(tenant=tenant) as uow:
            uow.reviews.add(review)
            await uow.flush()
            await uow.findings.add_many(
                [_finding(review.id, corpus.texts[passage]) for passage in passages]
            )
            await uow.commit()


def _finding(review_id: UUID, passage: str) -> Finding:
    return Finding(
        review_id=review_id,
        repo="acme/api",
        file_path="module.py",
        severity=Severity.MINOR,
        category=Category.STYLE,
        confidence=80,
        title=" ".join(passage.split())[:TITLE],
    )
