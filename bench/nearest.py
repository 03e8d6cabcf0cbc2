"""Vector search with filters, after deletions and among copies: rows and time.

A tenth of the rows is deleted, and no vacuum follows: rows everywhere, and among them those that
were nearest to some queries."""

from __future__ import annotations

from dataclasses import dataclass, field
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np
from pgvector import Vector

from bench.clock import Cpu, median
from bench.fixture import Labels
from bench.vectors import normalized
from bench.watch import Watch, explain, indexes, watching
from domain import KnowledgeChunk, where

if TYPE_CHECKING:
    from bench.vectors import Flags, Space, Vectors
    from domain import Filter
    from repositories import Database

K = 10
COPIES = 1_000
NEAREST_DELETED = 100
IN_A_UNIT = 250


@dataclass(frozen=True)
class NearestFigures:
    """The rows that searches for ten return.

    `exact` is the share of the answers that say so. `cpu` is the processor time of client and
    server, in milliseconds. `indexes` are those that the server used for the first statement of an
    answer."""

    case: str
    rows: float
    fewest_rows: int
    exact: float
    p50: float
    cpu: float
    indexes: list[str]


@dataclass
class Filters:
    """Shares of the rows, each with a filter of its own.

    Columns and metadata, anywhere, near one direction and far from it.
    """

    space: Space
    flags: dict[str, Flags] = field(default_factory=dict)

    def __post_init__(self) -> None:
        random, rows = np.random.default_rng(7), len(self.space.vectors)
        for name, share in {"50 %": 0.5, "10 %": 0.1, "1 %": 0.01, "0.1 %": 0.001}.items():
            self._flag(name, random.permutation(rows)[: max(1, round(rows * share))])
        order, twentieth = self.space.nearness(), rows // 20
        self._flag("5 %, near the query", order[:twentieth])
        self._flag("5 %, far from the query", order[-twentieth:])
        anywhere = random.permutation(order[NEAREST_DELETED:])[: rows // 10 - NEAREST_DELETED]
        self._flag("deleted", np.concatenate([order[:NEAREST_DELETED], anywhere]))

    def _flag(self, name: str, where_true: Any) -> None:
        self.flags[name] = np.zeros(len(self.space.vectors), dtype=np.bool_)
        self.flags[name][where_true] = True

    def labels(self) -> Labels:
        """Return the columns and metadata by which the rows are filtered."""
        rows = range(len(self.space.vectors))
        flags = {name: flag.tolist() for name, flag in self.flags.items()}
        metadata = [
            {
                "half": flags["50 %"][row],
                "rare": flags["0.1 %"][row],
                "place": "near"
                if flags["5 %, near the query"][row]
                else "far"
                if flags["5 %, far from the query"][row]
                else "",
                "doomed": flags["deleted"][row],
            }
            for row in rows
        ]
        repos = ["acme/rare" if flags["1 %"][row] else "acme/api" for row in rows]
        return Labels(repos, ["code" if flags["10 %"][row] else "doc" for row in rows], metadata)


FILTERS: dict[str, Filter] = {
    "50 %": where("metadata", "half").equals(value=True),
    "10 %": where("source_type").equals("code"),
    "5 %, near the query": where("metadata", "place").equals("near"),
    "5 %, far from the query": where("metadata", "place").equals("far"),
    "1 %": where("repo").equals("acme/rare"),
    "0.1 %": where("metadata", "rare").equals(value=True),
}


async def measure(database: Database, space: Space, *, queries: int) -> list[NearestFigures]:
    """Measure every filter, then delete a tenth of the rows, and then add copies of one vector."""
    everywhere, nearby = space.queries(queries), space.queries(queries, around=space.near)
    cases = [await _case(database, "no filter", everywhere)]
    for name, condition in FILTERS.items():
        query_vectors = nearby if "query" in name else everywhere
        cases.append(await _case(database, name, query_vectors, condition))
    await _delete(database)
    for name, query_vectors in {
        "a tenth deleted": everywhere,
        "a tenth deleted, the nearest too": nearby,
    }.items():
        cases.append(await _case(database, f"no filter, {name}", query_vectors))
        cases.append(await _case(database, f"10 %, {name}", query_vectors, FILTERS["10 %"]))
    return [*cases, *await _among_copies(database, space, queries=queries)]


async def _delete(database: Database) -> None:
    async with database.unit_of_work() as uow:
        assert await uow.knowledge.delete_where(where("metadata", "doomed").equals(value=True))
        await uow.commit()


async def _among_copies(database: Database, space: Space, *, queries: int) -> list[NearestFigures]:
    copied, rows = space.queries(1)[0], len(space.vectors)
    for start in range(rows, rows + COPIES, IN_A_UNIT):
        async with database.unit_of_work() as uow:
            await uow.knowledge.upsert_many(
                _copy(row, copied) for row in range(start, min(start + IN_A_UNIT, rows + COPIES))
            )
            await uow.commit()
    noise = np.random.default_rng(11).standard_normal((queries, len(copied)), dtype=np.float32)
    query_vectors = normalized(copied + 0.2 * normalized(noise))
    name = f"10 %, none of {COPIES:,} copies near"
    return [
        await _case(database, f"no filter, among {COPIES:,} copies", query_vectors),
        await _case(database, name, query_vectors, FILTERS["10 %"]),
    ]


def _copy(row: int, vector: Vectors) -> KnowledgeChunk:
    return KnowledgeChunk(
        chunk_id=str(row),
        repo="acme/api",
        source=str(row),
        source_type="doc",
        content="a copy",
        embedding=Vector(vector),
    )


async def _case(
    database: Database, case: str, queries: Vectors, condition: Filter | None = None
) -> NearestFigures:
    answers: list[list[int]] = []
    exact, milliseconds, cpu = [], [], await Cpu.of(database)
    for warming in (True, False):
        cpu.start()
        for query in queries[:3] if warming else queries:
            async with database.reader() as view:
                started = perf_counter()
                hits = await view.knowledge.vector_search(query, limit=K, where=condition)
                latency = (perf_counter() - started) * 1_000
            if not warming:
                answers.append([int(hit.item.chunk_id) for hit in hits])
                exact.append(hits.exact)
                milliseconds.append(latency)
    cpu_time = cpu.taken(len(queries))
    return NearestFigures(
        case=case,
        rows=float(np.mean([len(answer) for answer in answers])),
        fewest_rows=min(len(answer) for answer in answers),
        exact=float(np.mean(exact)),
        p50=median(milliseconds),
        cpu=cpu_time,
        indexes=await _indexes(database, queries[0], condition),
    )


async def _indexes(database: Database, query: Vectors, condition: Filter | None) -> list[str]:
    with watching(database) as watch:
        async with database.reader() as view:
            await view.knowledge.vector_search(query, limit=K, where=condition)
    async with database.read_engine.connect() as connection:
        return indexes(await explain(connection, Watch(watch.sent[:1])))
