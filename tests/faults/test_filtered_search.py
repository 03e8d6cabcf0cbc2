"""A filtered vector search returns the nearest rows, as many as match, up to the limit."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

from sqlalchemy import text

from domain import KnowledgeChunk, Vector, where
from repositories import Database
from tests.conftest import DIMENSIONS

if TYPE_CHECKING:
    from pydantic import SecretStr

    from domain import Filter
    from tests.faults.conftest import Effort, Promises

PROMISE = "A filtered search returns as many rows as match, up to the limit"
LIMIT = 10

# One row in so many; the first leaves more than are compared one by one, also after deletions.
SHARES = {"none": 1, "80 %": 0, "10 %": 10, "1 %": 100, "0.2 %": 500}

_ROWS = """
INSERT INTO knowledge (
  tenant, id, chunk_id, source, source_type, content, content_hash, metadata, embedding
)
SELECT 'default', gen_random_uuid(), g::text, 'a.md',
  CASE WHEN g % 5 = 0 THEN 'code' ELSE 'doc' END, 'A passage.', '\\x00',
  jsonb_build_object('one_in_10', g % 10, 'one_in_100', g % 100, 'one_in_500', g % 500),
  (SELECT array_agg(random() - 0.5) FROM generate_series(1, :dimensions) WHERE g > 0)::vector
FROM generate_series(1, :rows) AS g"""
_EXACTLY = """
SELECT id, embedding <=> $1 AS distance FROM knowledge
WHERE tenant = 'default' AND {condition} ORDER BY distance LIMIT 10"""
_AS_IT_IS = """
SELECT count(*) AS rows FROM (
  SELECT id FROM knowledge WHERE tenant = 'default' AND metadata->'one_in_100' = '0'
  ORDER BY embedding <=> $1 LIMIT 10
) AS found"""


def _condition(share: str) -> tuple[Filter | None, str]:
    """Return a filter, and what it says in SQL."""
    match SHARES[share]:
        case 1:
            return None, "true"
        case 0:
            return where("source_type").equals("doc"), "source_type = 'doc'"
        case number:
            return where("metadata", f"one_in_{number}").equals(
                0
            ), f"metadata->'one_in_{number}' = '0'"


class _Searched:
    """A database with rows to find, and what came of the searches."""

    def __init__(self, database: Database, questions: list[list[float]]) -> None:
        self._database = database
        self._questions = questions
        self.searches = self.complete = self.asked = self.nearest = 0

    async def search(self) -> None:
        """Search for each vector with each filter, and count the rows as near as the nearest."""
        for share in SHARES:
            condition, sql = _condition(share)
            for question in self._questions:
                async with self._database.reader() as view:
                    hits = await view.knowledge.vector_search(
                        question, limit=LIMIT, where=condition
                    )
                exactly = await self._rows(_EXACTLY.format(condition=sql), question)
                self.searches += 1
                self.complete += len(hits) == len(exactly)
                self.asked += len(exactly)
                self.nearest += sum(
                    (hit.distance or 0) <= exactly[-1].distance + 1e-6 for hit in hits
                )

    async def rows_as_it_is(self) -> float:
        """Return how many of ten rows HNSW alone returns on average with a filter of 1 %."""
        counts: list[int] = [
            (await self._rows(_AS_IT_IS, question, "hnsw"))[0].rows for question in self._questions
        ]
        return sum(counts) / len(counts)

    async def _rows(self, statement: str, question: list[float], way: str = "exact") -> Any:
        others = (
            ("enable_seqscan", "enable_bitmapscan", "enable_sort")
            if way == "hnsw"
            else ("enable_indexscan",)
        )
        async with self._database.engine.connect() as connection:
            for setting in others:
                await connection.execute(text(f"SET LOCAL {setting} = off"))
            return (await connection.exec_driver_sql(statement, (Vector(question),))).all()


async def test_as_many_rows_come_back_as_exist(
    database_url: SecretStr, effort: Effort, promises: Promises
) -> None:
    chance, rows, copies = random.Random(5), effort.times(5_500, 20_000), effort.times(300, 1_000)
    questions = [
        [chance.uniform(-0.5, 0.5) for _ in range(DIMENSIONS)] for _ in range(effort.times(3, 50))
    ]
    async with Database.from_url(database_url) as database:
        async with database.engine.begin() as connection:
            await connection.execute(text(_ROWS), {"rows": rows, "dimensions": DIMENSIONS})
            await connection.execute(text("ANALYZE knowledge"))
        assert await database.isolate_tenant("default")
        searched = _Searched(database, questions)
        as_it_is = await searched.rows_as_it_is()
        await searched.search()
        async with database.unit_of_work() as uow:
            for question in questions:  # what is nearest is gone, and still in the graph
                near = await uow.knowledge.vector_search(question, limit=60)
                await uow.knowledge.delete_chunks([hit.item.chunk_id for hit in near])
            await uow.commit()
        await searched.search()
        async with database.unit_of_work() as uow:
            await uow.knowledge.add_many([_copy(number, questions[0]) for number in range(copies)])
            await uow.commit()
        await searched.search()
        assert await database.release_tenant("default")
        async with database.engine.begin() as connection:
            await connection.execute(text("TRUNCATE knowledge"))
    recall = searched.nearest / searched.asked
    assert searched.complete == searched.searches
    assert recall >= 0.95
    assert as_it_is < LIMIT
    promises(
        PROMISE,
        f"{searched.complete:,} of {searched.searches:,} searches of {rows:,} rows by filters of "
        f"80 to 0.2 %, after deletions and among {copies:,} copies",
        control=f"an HNSW scan alone finds {as_it_is:.1f} of 10 rows where 1 % match",
    )


def _copy(number: int, embedding: list[float]) -> KnowledgeChunk:
    return KnowledgeChunk(
        chunk_id=f"copy-{number}",
        source="b.md",
        source_type="doc",
        content="A copy.",
        embedding=Vector(embedding),
    )
