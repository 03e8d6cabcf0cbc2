"""Chunks of documents, and the record of their embeddings."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Protocol

from domain.entities.knowledge import KnowledgeChunk
from domain.ports.reembedding import RepairReader, Repairs
from domain.ports.repository import Progress, Repository, Rows
from domain.ports.searchable import VectorReader
from domain.values.search import Match

if TYPE_CHECKING:
    from domain.entities.knowledge import EmbeddingMetadata
    from domain.values.filters import Filter
    from domain.values.search import SearchHits


class KnowledgeReader(VectorReader[KnowledgeChunk], RepairReader, Protocol):
    """Searches passages by name, by vector, by words, and by both."""

    async def find_by_chunk_id(
        self, chunk_id: str, *, repo: str = "", with_embedding: bool = False
    ) -> KnowledgeChunk | None:
        """Return the chunk with this name, or None. It takes one look-up in a unique index.

        Args:
            chunk_id: name of the chunk.
            repo: repository, as owner/name; empty for a chunk of none.
            with_embedding: whether to read the embedding too.
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
        min_score: float | None = None,
        distinct: bool = False,
    ) -> SearchHits[KnowledgeChunk]:
        """Return the chunks that match the words best, best first.

        A blank query, or one of stop words alone, returns no hits. No `query` raises.

        Args:
            query: the words.
            limit: largest number of hits, 1 to 10,000. Up to 100, the first n hits of a larger
                limit are the hits of limit n.
            where: only chunks that meet this filter.
            match: how many of the words a chunk must contain.
            source_types: only chunks of any of these source types.
            languages: only chunks of any of these languages.
            explain: fill `matched_terms` of the hits.
            min_score: only chunks with at least this score.
            distinct: only the best chunk of each text, as in `vector_search`.

        Raises:
            InvalidFilter: `where` does not fit the entity.
            InvalidInput: `limit` or a threshold is not a number in its range.
        """
        ...


class KnowledgeRepository(KnowledgeReader, Repository[KnowledgeChunk], Repairs, Protocol):
    """Writes passages."""

    async def upsert_many(
        self, chunks: Rows[KnowledgeChunk], *, progress: Progress | None = None
    ) -> int:
        """Insert the chunks, or replace those with the same `(repo, chunk_id)`, all or none.

        Return how many there were. Text, metadata, embedding and `updated_at` are replaced; id and
        `created_at` stay. If a name occurs twice, the last chunk wins and counts once. The server
        sets `updated_at`, unless a new chunk states its own, such as the time of its document.

        Args:
            chunks: chunks, in memory or from an iterator, which can be asynchronous.
            progress: called after each batch with the number of rows sent so far. An exception that
                it raises aborts the unit of work.

        Raises:
            InvalidInput: an item is not a KnowledgeChunk.
            TenantMismatch: a chunk belongs to another tenant.
        """
        ...

    async def delete_where(self, where: Filter, *, at_most: int | None = None) -> int:
        """Delete the chunks that meet the filter, or the first `at_most`, and return how many.

        `Database.delete_chunks` deletes any number in many units of work.

        Args:
            where: condition on the chunks.
            at_most: largest number of chunks to delete, lowest ids first; None for all.

        Raises:
            InvalidFilter: the filter is empty and would delete everything.
            InvalidInput: `at_most` is not between 1 and a million.
        """
        ...

    async def delete_chunks(self, chunk_ids: Iterable[str], *, repo: str = "") -> int:
        """Delete the chunks with these names and return how many there were.

        Unknown names are ignored. Without names, no statement is sent.

        Args:
            chunk_ids: names of the chunks.
            repo: repository, as owner/name; empty for chunks of none.

        Raises:
            InvalidInput: a name is not text that PostgreSQL can store; nothing was deleted.
        """
        ...

    async def reset(self, *, at_most: int | None = None) -> int:
        """Delete the chunks of the tenant, or the first `at_most`, and return how many.

        The record of how this database embeds stays: all tenants share it. `Database.delete_chunks`
        deletes any number in many units of work.

        Args:
            at_most: largest number of chunks to delete, lowest ids first; None for all.

        Raises:
            InvalidInput: `at_most` is not between 1 and a million.
        """
        ...


class EmbeddingMetadataReader(Protocol):
    """Reads the record of the embeddings in this database."""

    async def get(self) -> EmbeddingMetadata:
        """Return provider, model and dimensions.

        Raises:
            NotFound: the database has no such record.
        """
        ...

    async def find(self) -> EmbeddingMetadata | None:
        """Return provider, model and dimensions, or None if the database has no such record."""
        ...

    async def check_compatible(self, *, provider: str, model: str, dimensions: int) -> None:
        """Check that embeddings of this provider, model and dimensions fit the record.

        An unspecified provider or model fits every other.

        Args:
            provider: provider of the embedding model.
            model: embedding model.
            dimensions: components of each embedding.

        Raises:
            EmbeddingMismatch: provider, model or dimensions differ; the error names the first of
                them that does.
        """
        ...


class EmbeddingMetadataRepository(EmbeddingMetadataReader, Protocol):
    """Records the provider, model and dimensions of the embeddings in this database."""

    async def set(self, *, provider: str, model: str, dimensions: int) -> EmbeddingMetadata:
        """Replace the record, and return it.

        Args:
            provider: provider of the embedding model.
            model: embedding model.
            dimensions: components of each embedding.

        Raises:
            EmbeddingMismatch: the vector columns of this database have other dimensions.
        """
        ...

    async def agree_on_embeddings(
        self, *, provider: str, model: str, dimensions: int
    ) -> EmbeddingMetadata:
        """Record provider and model if they are unspecified, or check them; return the record.

        Call it when your application starts, and commit. If several processes call it at the same
        time, the first to commit sets the record, and the others check against it.

        Args:
            provider: provider of the embedding model.
            model: embedding model.
            dimensions: components of each embedding.

        Raises:
            EmbeddingMismatch: the database holds embeddings of another provider, model or
                dimensions; the error names the first of them that differs.
        """
        ...
