"""The searches that an evaluation compares."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, TypeAlias

from sqlalchemy import text

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from pgvector import Vector

    from domain import Weights
    from repositories.cli.demo.recording import Opens
    from repositories.cli.evaluation.collection import CollectionQuery
    from repositories.database import Database

ExactSearch: TypeAlias = "Callable[[Vector, int], Awaitable[list[str]]]"
"""Returns the ids of the nearest documents without an index."""

# An expression over the distance, which no index has. The tenant's rows are compared one by one.
_EXACT = text("""
    SELECT chunk_id FROM knowledge WHERE tenant = :tenant AND embedding IS NOT NULL
    ORDER BY (embedding <=> CAST(:embedding AS vector)) + 0, id LIMIT :limit""")


class Kind(StrEnum):
    """A kind of search."""

    KEYWORD = "keyword"
    VECTOR = "vector"
    EXACT = "vector, exact"
    HYBRID = "hybrid"


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddedQuery:
    """A query with its embedding; without one, hybrid search uses the words only."""

    query: CollectionQuery
    embedding: Vector | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Searcher:
    """Searches an open database; every search has a reader of its own."""

    database: Opens
    exact: ExactSearch

    async def ids(
        self, kind: Kind, query: EmbeddedQuery, *, limit: int, weights: Weights | None = None
    ) -> list[str]:
        """Return the ids of the best documents, best first."""
        words, embedding = query.query.text, query.embedding
        if embedding is None and kind in {Kind.VECTOR, Kind.EXACT}:
            return []
        if kind is Kind.EXACT and embedding is not None:
            return await self.exact(embedding, limit)
        async with self.database.reader() as view:
            if kind is Kind.VECTOR and embedding is not None:
                hits = await view.knowledge.vector_search(embedding, limit=limit)
            elif kind is Kind.HYBRID and embedding is not None:
                hits = await view.knowledge.hybrid_search(
                    words, embedding, limit=limit, weights=weights
                )
            else:
                hits = await view.knowledge.keyword_search(words, limit=limit)
            return [hit.item.chunk_id for hit in hits]


def exact_search(database: Database) -> ExactSearch:
    """Return a search of this database that uses no index."""

    async def search(embedding: Vector, limit: int) -> list[str]:
        values = {
            "tenant": database.settings.tenant,
            "embedding": str(embedding.to_list()),
            "limit": limit,
        }
        async with database.engine.connect() as connection:
            return list((await connection.execute(_EXACT, values)).scalars())

    return search
