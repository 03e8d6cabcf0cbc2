"""Learning memories: findings with their outcomes; and patterns across tenants."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Final, Self
from uuid import UUID

from pydantic import AfterValidator, model_validator
from sqlalchemy import UniqueConstraint
from sqlmodel import Field

from domain.errors import InvalidInput
from domain.schema.base import Entity, Identified, Record
from domain.schema.columns import SEARCH_VECTOR_UNMAPPED, EmbeddingColumn, search_vector
from domain.schema.constraints import embedding_check, index, named_index, repair_indexes, unique
from domain.schema.text_hash import text_hash_column
from domain.values.classification import Category, Severity
from domain.values.embedding import MAX_DIMENSIONS, OptionalEmbedding
from domain.values.numbers import INT32_MAX, Positive
from domain.values.text import Key, Name, Text


class Outcome(StrEnum):
    """The outcome of a finding."""

    ACCEPTED = "accepted"
    SUPPRESSED = "suppressed"
    THUMBS_UP = "thumbs_up"
    THUMBS_DOWN = "thumbs_down"


class ConfidenceBand(StrEnum):
    """The confidence of the findings of a pattern."""

    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"


class LearningMemory(Record, table=True):
    """One outcome of one finding, with the embedding of the finding's text.

    Lifecycle:

    - Written by `memories.write`; writing the same `(repo, finding_id, outcome)` again changes
      nothing. A memory without a finding never conflicts.
    - `memories.mark_stale` marks memories of another model. A re-embedding job replaces their
      embeddings, or `memories.delete_stale` deletes them.

    Invariant: `embedding_dim` is the number of dimensions of the embedding. The embedding is not
    zero.

    Unique: `(tenant, repo, finding_id, outcome)`.

    Indexes:

    - `(tenant, repo)` with `embedding`, or HNSW above 512 dimensions: vector search
    - GIN on `search_vector`: keyword search
    - `(tenant, repo, id)`: `list` and `page` of the memories of one repository
    - `(tenant, owner, repo)` of the live memories with an embedding: `nearest_for_owner`, `recall`
    - `(tenant, embedding_model)` of the live memories: `mark_stale`, and `repair_candidates` of
      another model
    - `(tenant, id)` of the memories that are stale or have no embedding: `delete_stale`, and the
      other `repair_candidates`
    - `(tenant, text_hash)`: the statistics of keyword search
    """

    __tablename__ = "learning_memories"
    __table_args__ = (
        unique("repo", "finding_id", "outcome"),
        index("repo", "id"),
        named_index(
            "ix_learning_memories_shared",
            "owner",
            "repo",
            where="stale IS FALSE AND embedding IS NOT NULL",
        ),
        *repair_indexes("learning_memories"),
        embedding_check(),
        *search_vector(finding_text="C"),
        *text_hash_column("finding_text"),
    )
    __mapper_args__ = SEARCH_VECTOR_UNMAPPED

    repo: Name = Field(description="Repository that the finding is about, as owner/name.")
    owner: Name = Field(description="Owner of the repository.")
    finding_id: UUID | None = Field(
        default=None, description="Finding that the memory is about, if it is stored."
    )
    review_id: UUID | None = Field(
        default=None, description="Review of that finding, if it is stored."
    )
    source_repo: Name = Field(description="Repository in which the outcome was observed.")
    finding_text: Text = Field(
        min_length=1, description="Text of the finding, which is embedded and searched."
    )
    severity: Severity = Field(description="Severity of the finding.")
    category: Category = Field(description="Category of the finding.")
    file_path: Key = Field(description="File of the finding.")
    language: Annotated[Name, AfterValidator(str.lower)] | None = Field(
        default=None, description="Programming language, in lower case."
    )
    outcome: Outcome = Field(description="Outcome of the finding.")
    embedding_model: Name = Field(
        description="Model of the embedding, also while there is none yet."
    )
    embedding_dim: int = Field(
        default=0,
        ge=0,
        le=MAX_DIMENSIONS,
        description="Dimensions of the embedding; 0 without one.",
    )
    embedding: OptionalEmbedding = Field(
        default=None, sa_type=EmbeddingColumn, description="Embedding of the text."
    )
    stale: bool = Field(default=False, description="Whether the embedding must be computed again.")

    @model_validator(mode="after")
    def _dimension_follows_embedding(self) -> Self:
        if (embedding := vars(self).get("embedding")) is not None:
            vars(self)["embedding_dim"] = embedding.dimensions()
        return self


PATTERN_KIND: Final = ("severity", "category", "confidence_band", "pattern_fingerprint")
"""The fields that identify a pattern."""


COUNT_TOO_LARGE: Final = f"the sum of count must be at most {INT32_MAX:,}"
"""The message for a pattern whose count can grow no further."""


class GlobalPattern(Identified, Entity, table=True):
    """How often findings of one kind were seen, over all tenants. It stores no tenant's text.

    The fingerprint is a hash. Lifecycle: `patterns.record` adds to the count; an assignment raises
    `InvalidInput`. Unique: severity, category, band and fingerprint together.
    """

    managed_fields = frozenset({*PATTERN_KIND, "count"})

    __tablename__ = "global_patterns"
    __table_args__ = (UniqueConstraint(*PATTERN_KIND, name="uq_global_patterns_kind"),)

    severity: Severity = Field(description="Severity of the findings.")
    category: Category = Field(description="Category of the findings.")
    confidence_band: ConfidenceBand = Field(description="How sure they were.")
    pattern_fingerprint: Name = Field(description="Hash of the normalised title.")
    count: Positive = Field(description="How many were seen.")

    def __setattr__(self, name: str, value: Any) -> None:
        if name in type(self).model_fields:
            raise InvalidInput(
                f"{name} of a pattern cannot be assigned: use patterns.record", field=name
            )
        super().__setattr__(name, value)
