"""Keyword search against the plain query.

Any of the words, ranked by `ts_rank`, on a small table and on one ten times as large.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from sqlalchemy import text

from bench.clock import Cpu, alternate, percentile
from bench.corpus import PLANTED, questions

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from repositories import Database

LIMIT = 10
CPU_SAMPLES = 25
# A service's own statement, with every column but the embedding, as the repository reads.
PLAIN = text("""
SELECT k.id, k.chunk_id, k.repo, k.source, k.source_type, k.language, k.title, k.summary, k.content,
  k.metadata, k.content_hash, k.token_count, k.embedding_model, k.stale, k.created_at, k.updated_at,
  ts_rank(k.search_vector, q.query) AS rank
FROM knowledge k, to_tsquery('english', :query) AS q (query)
WHERE k.tenant = :tenant AND k.search_vector @@ q.query
ORDER BY rank DESC, k.id LIMIT :limit
""")

# The library's index has the lexemes of each tenant, which a plain query cannot use.
CREATE_INDEX = text("CREATE INDEX plain ON knowledge USING gin (search_vector)")
DROP_INDEX = text("DROP INDEX plain")


@dataclass(frozen=True)
class WordsFigures:
    """Milliseconds of one kind of question: the repository's search and a plain query.

    `cpu` and `plain_cpu` are the processor time of client and server.
    """

    question: str
    rows: int
    p50: float
    p99: float
    plain_p50: float
    plain_p99: float
    cpu: float
    plain_cpu: float
    samples: int

    @property
    def ratio(self) -> float:
        return self.p50 / self.plain_p50

    @property
    def cpu_ratio(self) -> float:
        return self.cpu / self.plain_cpu


def kinds() -> dict[str, list[str]]:
    """Return the questions by what is queries."""
    one = {f"a word in {share:.0%} of the rows": [word] for word, share in PLANTED.items()}
    return {**one, "three words": [" ".join(PLANTED)], "twelve words": questions(25)}


async def measure(database: Database, *, rows: int, samples: int) -> list[WordsFigures]:
    async with database.engine.begin() as connection:
        await connection.execute(CREATE_INDEX)
    figures = []
    for name, queries in kinds().items():
        ours, plain = await alternate(
            [partial(_ours, database), partial(_plain, database)], queries, samples=samples
        )
        figures.append(
            WordsFigures(
                question=name,
                rows=rows,
                p50=percentile(ours, 50),
                p99=percentile(ours, 99),
                plain_p50=percentile(plain, 50),
                plain_p99=percentile(plain, 99),
                cpu=await _cpu(database, _ours, queries),
                plain_cpu=await _cpu(database, _plain, queries),
                samples=len(ours),
            )
        )
    async with database.engine.begin() as connection:
        await connection.execute(DROP_INDEX)
    return figures


async def _cpu(
    database: Database, way: Callable[[Database, str], Awaitable[None]], queries: Sequence[str]
) -> float:
    cpu = await Cpu.of(database)
    for turn in range(CPU_SAMPLES):
        await way(database, queries[turn % len(queries)])
    return cpu.taken(CPU_SAMPLES)


async def _ours(database: Database, query: str) -> None:
    async with database.reader() as view:
        assert await view.knowledge.keyword_search(query, limit=LIMIT)


async def _plain(database: Database, query: str) -> None:
    any_word = " | ".join(query.split())
    async with database.engine.connect() as connection:
        await connection.execution_options(postgresql_readonly=True)
        values = {"query": any_word, "tenant": "default", "limit": LIMIT}
        assert (await connection.execute(PLAIN, values)).all()
