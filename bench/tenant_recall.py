"""The recall and the latency of a tenant's vector search, against an exact search of its rows."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from pgvector import Vector

from bench.clock import median
from bench.vectors import Truth
from repositories import Database

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.populations import Corpus, Population
    from bench.vectors import Vectors

K: Final = 10
CURVE: Final = (20, 64, 100, 200, 400, 1_000)
CONTROL: Final = """
SELECT id FROM (SELECT id, embedding FROM knowledge WHERE tenant = $1 OFFSET 0) AS rows
ORDER BY embedding <=> $2, id LIMIT 10"""


@dataclass(frozen=True, kw_only=True)
class TenantFigures:
    """The searches of one tenant with one kind of queries; times are in milliseconds.

    `exact_p50` is the same search as an exact scan of the tenant's rows on the driver. `below_half`
    is the share of queries with a recall under 0.5.
    """

    population: str
    tenant: str
    rows: int
    dimensions: int
    queries: str
    recall: float
    lowest_recall: float
    below_half: float
    fewest_rows: int
    exact: float
    p50: float
    alone_p50: float
    exact_p50: float


@dataclass(frozen=True, kw_only=True)
class CurvePoint:
    """Recall and latency of an HNSW index of `rows` rows with lists of `ef_search` candidates."""

    way: str
    ef_search: int
    recall: float
    below_half: float
    p50: float


async def figures_of(
    database: Database,
    own: Database,
    corpus: Corpus,
    population: Population,
    tenant: str,
    kind: str,
    queries: Vectors,
) -> TenantFigures:
    passages = population.by_tenant()[tenant]
    among, by_itself, control = [], [], []
    truth = Truth(corpus.vectors[passages], np.ones(len(passages), dtype=np.bool_))
    place = {passage: row for row, passage in enumerate(passages)}
    recalls, rows, exact = [], [], []
    for query in queries:
        hits, milliseconds = await _ask(database, tenant, query)
        among.append(milliseconds)
        by_itself.append((await _ask(own, tenant, query))[1])
        control.append(await _control(database, tenant, query))
        places = [place[int(hit.item.chunk_id.split()[1])] for hit in hits]
        recalls.append(truth.recall(query, places, k=K))
        rows.append(len(hits))
        exact.append(hits.exact)
    return TenantFigures(
        population=population.name,
        tenant=tenant,
        rows=len(passages),
        dimensions=corpus.dimensions,
        queries=kind,
        recall=float(np.mean(recalls)),
        lowest_recall=min(recalls),
        below_half=float(np.mean(np.array(recalls) < 0.5)),
        fewest_rows=min(rows),
        exact=float(np.mean(exact)),
        p50=median(among),
        alone_p50=median(by_itself),
        exact_p50=median(control),
    )


async def curve_of(
    database: Database, corpus: Corpus, population: Population, queries_of_each: int
) -> list[CurvePoint]:
    passages = population.by_tenant()["all"]
    truth = Truth(corpus.vectors[passages], np.ones(len(passages), dtype=np.bool_))
    place = {passage: row for row, passage in enumerate(passages)}
    queries = _first(corpus, list(corpus.queries), queries_of_each)
    points = []
    for ef_search in CURVE:
        settings = database.settings.model_copy(update={"ef_search": ef_search})
        async with Database(settings) as searched:
            recalls, times = [], []
            for query in queries:
                hits, milliseconds = await _ask(searched, "all", query)
                places = [place[int(hit.item.chunk_id.split()[1])] for hit in hits]
                recalls.append(truth.recall(query, places, k=K))
                times.append(milliseconds)
        points.append(
            CurvePoint(
                way=f"{len(passages):,} passages, one tenant",
                ef_search=ef_search,
                recall=float(np.mean(recalls)),
                below_half=float(np.mean(np.array(recalls) < 0.5)),
                p50=median(times),
            )
        )
    return points


def queries_by_kind(corpus: Corpus, passages: Sequence[int], count: int) -> dict[str, Vectors]:
    counts = Counter(corpus.packages[passage] for passage in passages)
    inside = [name for name, _ in counts.most_common() if name in corpus.queries]
    outside = [name for name in corpus.queries if name not in counts]
    return {
        "in distribution": _first(corpus, inside, count),
        "out of distribution": _first(corpus, outside, count),
    }


def _first(corpus: Corpus, names: Sequence[str], count: int) -> Vectors:
    return np.vstack([corpus.queries[name] for name in names])[:count]


async def _ask(database: Database, tenant: str, query: Vectors) -> tuple[Any, float]:
    async with database.reader(tenant=tenant) as view:
        started = perf_counter()
        hits = await view.knowledge.vector_search(query, limit=K)
        return hits, (perf_counter() - started) * 1_000


async def _control(database: Database, tenant: str, query: Vectors) -> float:
    async with database.read_engine.connect() as connection:
        started = perf_counter()
        await connection.exec_driver_sql(CONTROL, (tenant, Vector(query)))
        return (perf_counter() - started) * 1_000
