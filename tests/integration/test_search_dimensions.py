"""Embeddings of more dimensions than an HNSW index of `vector` accepts.

Written, searched through another form's graph, and found.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text

from domain import KnowledgeChunk, Vector, where
from repositories import Database
from tests.integration.searchable import fill

if TYPE_CHECKING:
    from repositories.testing.servers import TestServer

ROWS, QUESTIONS, LIMIT = 1_500, 12, 10
RECALL = 0.95


@pytest.mark.parametrize(
    ("dimensions", "operators"), [(3_072, "halfvec_cosine_ops"), (4_096, "bit_hamming_ops")]
)
async def test_embeddings_of_many_dimensions_are_found_through_their_index(
    servers: dict[int, TestServer], dimensions: int, operators: str
) -> None:
    chance = random.Random(dimensions)
    async with Database.from_url(
        servers[18].empty(), migrate=True, embedding_dimensions=dimensions
    ) as database:
        await fill(database, rows=ROWS, chunks_only=True)
        async with database.engine.connect() as connection:
            form = text(
                "SELECT indexdef FROM pg_indexes WHERE indexname = 'ix_knowledge_embedding'"
            )
            assert operators in (await connection.execute(form)).scalar_one()
        written = Vector([chance.uniform(-1, 1) for _ in range(dimensions)])
        async with database.unit_of_work() as uow:
            chunk = KnowledgeChunk(
                chunk_id="own", source="a.md", source_type="note", content="Own.", embedding=written
            )
            uow.knowledge.add(chunk)
            await uow.commit()
        async with database.reader() as view:
            assert (await view.knowledge.get(chunk.id, with_embedding=True)).embedding == written
            [nearest] = await view.knowledge.vector_search(written, limit=1)
            assert nearest.item.id == chunk.id
            assert nearest.distance == pytest.approx(0, abs=1e-6)
            hits_in_common = 0
            for _ in range(QUESTIONS):
                question = [chance.uniform(-1, 1) for _ in range(dimensions)]
                with view.explaining() as plans:
                    hits = await view.knowledge.vector_search(question, limit=LIMIT)
                    every = await view.knowledge.vector_search(
                        question, limit=LIMIT, where=where("content").exists()
                    )
                through_index, past_it = plans
                assert "ix_knowledge_embedding" in through_index.indexes
                assert (through_index.exact, hits.exact) == (False, False)
                assert (past_it.exact, every.exact) == (True, True)
                assert [hit.distance for hit in hits] == sorted(hit.distance or 0 for hit in hits)
                hits_in_common += len(
                    {hit.item.id for hit in hits} & {hit.item.id for hit in every}
                )
            assert hits_in_common / (QUESTIONS * LIMIT) >= RECALL
