"""Chunks of documents, and the record of the embeddings in a database."""

from __future__ import annotations

from hashlib import sha256
from typing import Self

from pydantic import model_validator
from sqlalchemy import Index, func
from sqlmodel import Field

from domain.errors import EmbeddingMismatch
from domain.schema.base import Entity, Record, Timestamped
from domain.schema.columns import (
    SEARCH_VECTOR_UNMAPPED,
    EmbeddingColumn,
    FrozenJsonb,
    search_vector,
)
from domain.schema.constraints import embedding_check, index, repair_indexes, unique
from domain.schema.text_hash import text_hash_column
from domain.values.digests import DerivedSha256
from domain.values.embedding import MAX_DIMENSIONS, UNSPECIFIED, OptionalEmbedding
from domain.values.jsonb import FrozenDict, JsonObject
from domain.values.numbers import Count
from domain.values.text import Key, Label, Name, NameOrEmpty, Text
from domain.values.timestamps import Timestamp


class KnowledgeChunk(Record, table=True):
    """One passage of a document, with its embedding.

    Lifecycle:

    - Inserted or replaced by `knowledge.upsert_many`, by `(repo, chunk_id)`: text, metadata and
      embedding together. `id` and `created_at` stay. `updated_at` becomes the server's time, or
      the one that a new chunk states.
    - `stale` marks an embedding to compute again, and a re-embedding job replaces it.
    - Deleted by name, by filter, or by `knowledge.reset`.

    Invariants: `content_hash` is the SHA-256 digest of `content`, so that a caller can skip the
    embedding of an unchanged passage. The embedding is not zero.

    Unique: `(tenant, repo, chunk_id)`.

    Indexes:

    - `(tenant, repo)` with `embedding`, or HNSW above 512 dimensions: vector search
    - GIN on `search_vector`: keyword search
    - GIN on `metadata`: filters of equality and containment
    - `(tenant, repo, source)`: the chunks of one document
    - `(tenant, repo, id)`: `list` and `page` of the chunks of one repository
    - `(tenant, embedding_model)` of the chunks that are not stale: `repair_candidates` of another
      model
    - `(tenant, id)` of the chunks that are stale or have no embedding: the other
      `repair_candidates`
    - `(tenant, text_hash)`: the statistics of keyword search
    """

    __tablename__ = "knowledge"
    __table_args__ = (
        unique("repo", "chunk_id"),
        index("repo", "source"),
        index("repo", "id"),
        *repair_indexes("knowledge"),
        embedding_check(),
        Index(
            None, "metadata", postgresql_using="gin", postgresql_ops={"metadata": "jsonb_path_ops"}
        ),
        *search_vector(title="A", summary="B", content="C"),
        *text_hash_column("content"),
    )
    __mapper_args__ = SEARCH_VECTOR_UNMAPPED

    chunk_id: Key = Field(description="Name of the passage, which the caller chooses.")
    repo: NameOrEmpty = Field(
        default="", description="Repository, as owner/name; empty if the passage belongs to none."
    )
    source: Key = Field(description="Path or address of the document.")
    source_type: Name = Field(description="Kind of the document, such as doc, code or test.")
    language: Name | None = Field(default=None, description="Language of the passage.")
    title: Text | None = Field(
        default=None, description="Title; has the largest weight in keyword search."
    )
    summary: Text | None = Field(
        default=None, description="Summary; has a larger weight than the content."
    )
    content: Text = Field(description="Text of the passage.")
    metadata_: JsonObject = Field(
        default_factory=FrozenDict,
        sa_type=FrozenJsonb,
        nullable=False,
        sa_column_kwargs={"name": "metadata", "server_default": "{}"},
        description="Further facts as JSON, which filters can use.",
    )
    content_hash: DerivedSha256 = Field(
        default_factory=bytes, nullable=False, description="SHA-256 of the content."
    )
    token_count: Count = Field(
        default=0, description="Tokens of the content, as the embedding model counts them."
    )
    embedding_model: Name | None = Field(default=None, description="Model of the embedding.")
    embedding: OptionalEmbedding = Field(
        default=None, sa_type=EmbeddingColumn, description="Embedding of the passage."
    )
    stale: bool = Field(default=False, description="Whether the embedding must be computed again.")
    updated_at: Timestamp | None = Field(
        default=None,
        nullable=False,
        sa_column_kwargs={"server_default": func.now()},
        description="Time of the last replacement.",
    )

    @model_validator(mode="after")
    def _hash_content(self) -> Self:
        vars(self)["content_hash"] = sha256(self.content.encode()).digest()
        return self


class EmbeddingMetadata(Timestamped, Entity, table=True):
    """The provider, model, dimensions and metric of the embeddings in this database.

    One row for all tenants, written when the schema is created. `provider` and `model` are
    "unspecified" until they are recorded; the dimensions are those of the vector columns.
    """

    __tablename__ = "embedding_metadata"

    id: int = Field(
        default=1,
        ge=1,
        le=1,
        primary_key=True,
        description="Always 1.",
        sa_column_kwargs={"autoincrement": False},
    )
    provider: Label = Field(description="Provider of the embedding model.")
    model: Label = Field(description="Embedding model.")
    dimensions: int = Field(ge=1, le=MAX_DIMENSIONS, description="Components of each embedding.")
    metric: Name = Field(default="cosine", description="Distance that the vector index serves.")

    @property
    def is_specified(self) -> bool:
        """Whether provider and model are recorded."""
        return UNSPECIFIED not in {self.provider, self.model}

    def require_compatible(self, *, provider: str, model: str, dimensions: int) -> None:
        """Raise EmbeddingMismatch unless such embeddings are comparable with those of the database.

        An unspecified provider or model is comparable with every other.
        """
        own: dict[str, str | int] = {"provider": provider, "model": model, "dimensions": dimensions}
        for field, value in own.items():
            recorded = getattr(self, field)
            if recorded not in {value, UNSPECIFIED}:
                raise EmbeddingMismatch(field, recorded=recorded, requested=value)
