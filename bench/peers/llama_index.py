"""llama-index: `PGVectorStore` with hybrid search, which indexes words as well."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llama_index.core.schema import TextNode
from llama_index.core.vector_stores.types import VectorStoreQuery
from llama_index.vector_stores.postgres import PGVectorStore
from sqlalchemy import make_url, text
from sqlalchemy.ext.asyncio import create_async_engine

from bench.peers.work import Passage

NAME = "peer_llama_index"
GRAPH = {
    "hnsw_m": 16,
    "hnsw_ef_construction": 64,
    "hnsw_dist_method": "vector_cosine_ops",
}


class LlamaIndex:
    def __init__(self, url: str, dimensions: int, candidates: int) -> None:
        self._url = make_url(url)
        self._dimensions = dimensions
        # It sets its own length of the list in each search, whatever the server has.
        self._graph = {**GRAPH, "hnsw_ef_search": candidates}
        self._store: PGVectorStore | None = None

    async def reset(self) -> None:
        engine = create_async_engine(self._url)
        async with engine.begin() as connection:
            await connection.execute(text(f"DROP TABLE IF EXISTS data_{NAME}"))
        await engine.dispose()
        await self._open(None)

    async def index(self) -> None:
        await self._open(self._graph)

    async def _open(self, graph: dict[str, Any] | None) -> None:
        await self.close()
        self._store = PGVectorStore.from_params(
            # As text: a URL object is printed on the way, without its password.
            connection_string=self._url.set(drivername="postgresql+psycopg2").render_as_string(
                hide_password=False
            ),
            async_connection_string=self._url.render_as_string(hide_password=False),
            table_name=NAME,
            hybrid_search=True,
            use_jsonb=True,
            embed_dim=self._dimensions,
            hnsw_kwargs=graph,
        )
        await self._store.async_add([])

    async def write(self, passages: Sequence[Passage]) -> None:
        assert self._store is not None
        await self._store.async_add(
            [
                TextNode(
                    id_=one.id, text=one.content, metadata=one.metadata, embedding=one.embedding
                )
                for one in passages
            ]
        )

    async def search(self, embedding: list[float], limit: int) -> int:
        assert self._store is not None
        result = await self._store.aquery(
            VectorStoreQuery(query_embedding=embedding, similarity_top_k=limit)
        )
        return len(result.nodes or ())

    async def close(self) -> None:
        if self._store is not None:
            await self._store.close()
