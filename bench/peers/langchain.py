"""langchain-postgres.

`PGVectorStore`, its table with the columns that it makes, and words indexed beside them.
"""

from __future__ import annotations

from collections.abc import Sequence

from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_postgres import PGEngine, PGVectorStore
from langchain_postgres.v2.indexes import HNSWIndex
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from bench.peers.work import Passage

TABLE = "peer_langchain"
WORDS = (
    f"ALTER TABLE {TABLE} ADD COLUMN words tsvector"
    " GENERATED ALWAYS AS (to_tsvector('english', content)) STORED",
    f"CREATE INDEX ON {TABLE} USING gin (words)",
)


class Langchain:
    def __init__(self, url: str, dimensions: int) -> None:
        self._sqlalchemy = create_async_engine(url)
        self._engine = PGEngine.from_engine(self._sqlalchemy)
        self._dimensions = dimensions

    async def reset(self) -> None:
        await self._engine.ainit_vectorstore_table(TABLE, self._dimensions, overwrite_existing=True)
        async with self._sqlalchemy.begin() as connection:
            for statement in WORDS:
                await connection.execute(text(statement))
        # Embeddings are given; nothing asks this one for any.
        embeddings = DeterministicFakeEmbedding(size=self._dimensions)
        self._store = await PGVectorStore.create(self._engine, embeddings, TABLE)

    async def index(self) -> None:
        await self._store.aapply_vector_index(HNSWIndex(m=16, ef_construction=64))

    async def write(self, passages: Sequence[Passage]) -> None:
        await self._store.aadd_embeddings(
            [one.content for one in passages],
            [one.embedding for one in passages],
            metadatas=[one.metadata for one in passages],
            ids=[one.id for one in passages],
        )

    async def search(self, embedding: list[float], limit: int) -> int:
        return len(await self._store.asimilarity_search_with_score_by_vector(embedding, k=limit))

    async def close(self) -> None:
        await self._engine.close()
