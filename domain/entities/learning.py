"""What was learned: findings with what became of them, and patterns that no tenant owns."""

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
from domain.schema.constraints import embedding_check, index, unique
from domain.schema.text_hash import text_hash_column
from domain.values.classification import Category, Severity
from domain.values.embedding import OptionalEmbedding
from domain.values.numbers import Positive
from domain.values.text import Key, Name, Text


class Outcome(StrEnum):
    """What became of a finding."""

    ACCEPTED = "accepted"
    SUPPRESSED = "suppressed"
    THUMBS_UP = "thumbs_up"
    THUMBS_DOWN = "thumbs_down"


class ConfidenceBand(StrEnum):
    """How sure the findings of a pattern were."""

    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"


class LearningMemory(Record, table=True):
    """One finding and what became of it, with the embedding of its text.

    Lifecycle: the first to arrive wins on `(repo, finding_id, outcome)`; a memory without a finding
        never conflicts. It becomes
    stale when the embedding model changes and is embedded again, or deleted. Invariant:
    `embedding_dim` is the embedding's dimension.

    Indexes: HNSW on the embedding for nearest memories, GIN on the lexemes for words, `(tenant,
        repo)`, `(tenant, owner, repo)` for
    what an owner's repositories share, `(tenant, stale)` for what is to be embedded again.
    """

    __tablename__ = "learning_memories"
    __table_args__ = (
        unique("repo", "finding_id", "outcome"),
        index("repo"),
        index("owner", "repo"),
        index("stale"),
        embedding_check(),
        *search_vector(finding_text="C"),
        *text_hash_column("finding_text"),
    )
    __mapper_args__ = SEARCH_VECTOR_UNMAPPED

    repo: Name = Field(description="Repository that it is about, as owner/name.")
    owner: Name = Field(description="Owner of the repository.")
    finding_id: UUID | None = Field(
        default=None, description="Finding that it came from, where there was one."
    )
    review_id: UUID | None = Field(
        default=None, description="Review that it came from, where there was one."
    )
    source_repo: Name = Field(description="Repository that it was learned in.")
    finding_text: Text = Field(
        min_length=1, description="The finding in words; what is embedded and searched."
    )
    severity: Severity = Field(description="The finding's severity.")
    category: Category = Field(description="The finding's category.")
    file_path: Key = Field(description="The finding's file.")
    language: Annotated[Name, AfterValidator(str.lower)] | None = Field(
        default=None, description="Programming language, in lower case."
    )
    outcome: Outcome = Field(description="What became of the finding.")
    embedding_model: Name = Field(description="Model that made, or is to make, the embedding.")
    embedding_dim: int = Field(
        default=0,
        ge=0,
        le=16_000,
        description="Components of the embedding; 0 while there is none.",
    )
    embedding: OptionalEmbedding = Field(
        default=None, sa_type=EmbeddingColumn, description="Vector of the text."
    )
    stale: bool = Field(default=False, description="The embedding is to be made again.")

    @model_validator(mode="after")
    def _dimension_follows_embedding(self) -> Self:
        if (embedding := vars(self).get("embedding")) is not None:
            vars(self)["embedding_dim"] = embedding.dimensions()
        return self


PATTERN_KIND: Final = ("severity", "category", "confidence_band", "pattern_fingerprint")
"""What makes two counts the same pattern's."""


class GlobalPattern(Identified, Entity, table=True):
    """How often findings of one kind were seen, over all tenants. It stores no tenant's text.

    The fingerprint is a hash. Lifecycle: `patterns.record` adds to the count; an assignment raises
    `InvalidInput`. Unique: severity, category, band and fingerprint together.
    """

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
