"""Documents in chunks, and how they are embedded."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Protocol

from domain.entities.knowledge import KnowledgeChunk
from domain.ports.reembedding import Repairs
from domain.ports.repository import Progress, ReadRepository, Repository, Rows
from domain.values.search import Distance, Match, Weights

if TYPE_CHECKING:
    from domain.entities.knowledge import EmbeddingMetadata
    from domain.values.embedding import VectorLike
    from domain.values.filters import Filter
    from domain.values.reranking import Diversity, Recency
    from domain.values.search import SearchHits


class KnowledgeReader(ReadRepository[KnowledgeChunk], Protocol):
    """Finds passages by their name, by vector, by words, and by both."""

    async def find_by_chunk_id(
        self, chunk_id: str, *, repo: str = "", with_embedding: bool = False
    ) -> KnowledgeChunk | None:
        """Return the chunk with the caller's own name, or None: one look-up in a unique index."""
        ...

    async def vector_search(
        self,
        embedding: VectorLike,
        *,
        limit: int = 10,
        where: Filter | None = None,
        min_score: float | None = None,
        distance: Distance = Distance.COSINE,
    ) -> SearchHits[KnowledgeChunk]:
        """Return the nearest chunks, at least `min_score` near; `limit` of them whenever as many
        qualify.

        Raises:
            InvalidEmbedding: not finite, all zeros, or not of the database's dimension.
        """
        ...

    async def keyword_search(
        self,
        query: str,
        *,
        limit: int = 10,
        where: Filter | None = None,
        match: Match = Match.ANY,
        source_types: Sequence[str] = (),
        languages: Sequence[str] = (),
        explain: bool = False,
    ) -> SearchHits[KnowledgeChunk]:
        """Return the chunks that best match the words, best first; a blank query or one of stop
        words alone finds nothing.

        `source_types` and `languages` keep chunks of any of those given. `explain` fills
        `matched_terms`. Nothing in `query` raises.
        """
        ...

    async def hybrid_search(
        self,
        query: str,
        embedding: VectorLike,
        *,
        limit: int = 10,
        where: Filter | None = None,
        weights: Weights = Weights(),
        match: Match = Match.ANY,
        diversity: Diversity | None = None,
        recency: Recency | None = None,
    ) -> SearchHits[KnowledgeChunk]:
        """Return nearest and best matching chunks, fused by weighted reciprocal rank, in one round
        trip; the filter holds for both.

        `recency` multiplies each fused score by the weight of the chunk's age, before the limit.
        `diversity` then chooses among max(40, 4 × limit) chunks, 400 at most unless more are asked
        for; hits come as they were chosen, with the same scores.

        Raises:
            InvalidEmbedding: not finite, all zeros, or not of the database's dimension.
        """
        ...


class KnowledgeRepository(KnowledgeReader, Repository[KnowledgeChunk], Repairs, Protocol):
    """Keeps passages up to date."""

    async def upsert_many(
        self, chunks: Rows[KnowledgeChunk], *, progress: Progress | None = None
    ) -> int:
        """Insert the chunks or replace those with the same `(repo, chunk_id)`, all or none, and
        return how many there were.

        Text, metadata, embedding and `updated_at` are replaced; id and `created_at` stay. Of the
        same name twice the last wins and counts once.
        """
        ...

    async def delete_where(self, where: Filter) -> int:
        """Delete the chunks that meet the filter and return how many.

        Raises:
            InvalidFilter: the filter is empty and would delete everything.
        """
        ...

    async def delete_chunks(self, chunk_ids: Iterable[str], *, repo: str = "") -> int:
        """Delete the chunks with these names and return how many there were.

        Unknown ones are ignored, none is no statement.
        """
        ...

    async def reset(self) -> int:
        """Delete all chunks of the tenant and return how many there were.

        The record of how this database embeds stays: all tenants share it.
        """
        ...


class EmbeddingMetadataReader(Protocol):
    """Tells how this database embeds."""

    async def get(self) -> EmbeddingMetadata:
        """Return provider, model and dimension.

        Raises:
            NotFound: the database has no such record.
        """
        ...

    async def find(self) -> EmbeddingMetadata | None:
        """Return provider, model and dimension, or None where the database has no such record."""
        ...

    async def check_compatible(self, *, provider: str, model: str, dimensions: int) -> None:
        """Return if embeddings of this kind fit what is stored, or nothing is recorded.

        Raises:
            EmbeddingMismatch: provider, model or dimension differs; the first of them that does is
                named.
        """
        ...


class EmbeddingMetadataRepository(EmbeddingMetadataReader, Protocol):
    """Records how this database embeds."""

    async def set(self, *, provider: str, model: str, dimensions: int) -> EmbeddingMetadata:
        """Record provider, model and dimension, in place of what was recorded.

        Raises:
            EmbeddingMismatch: the columns of this database have another dimension.
        """
        ...
