"""What was reviewed and found, what was held back, and what people made of it."""

from __future__ import annotations

from enum import StrEnum
from typing import Self
from uuid import UUID

from pydantic import model_validator
from sqlalchemy import ARRAY, CheckConstraint, Uuid
from sqlmodel import Field

from domain.schema.base import Record
from domain.schema.columns import SEARCH_VECTOR_UNMAPPED, FrozenJsonb, search_vector
from domain.schema.constraints import index, references, unique
from domain.schema.text_hash import text_hash_column
from domain.values.classification import Category, Severity
from domain.values.jsonb import JsonObject
from domain.values.numbers import Count, ExternalId, Positive
from domain.values.text import Key, Name, Text
from domain.values.timestamps import Timestamp


class Reaction(StrEnum):
    """What a person clicked on a comment."""

    THUMBS_UP = "+1"
    THUMBS_DOWN = "-1"


class Review(Record, table=True):
    """One review of one pull request, as it was when it ended.

    Lifecycle: written once with its findings in one unit of work, never changed; deleting it
        deletes its findings, suppressions and
    reactions. The `findings_*` counts are what the reviewer declared; statistics count the findings
    themselves.

    Indexes: `(tenant, repo, created_at)` for a repository's latest and its trends, `(tenant, repo,
        pr_number)` for one pull
    request.
    """

    __tablename__ = "reviews"
    __table_args__ = (index("repo", "created_at"), index("repo", "pr_number"))

    repo: Name = Field(description="Repository, as owner/name.")
    pr_number: Positive = Field(description="Number of the pull request.")
    head_sha: Name | None = Field(default=None, description="Commit that was reviewed.")
    delivery_id: Name | None = Field(
        default=None, description="Webhook delivery that asked for the review."
    )
    files_analyzed: Count = Field(default=0, description="Files that were looked at.")
    lines_changed: Count = Field(default=0, description="Lines that the pull request changes.")
    findings_critical: Count = Field(default=0, description="Critical findings, as declared.")
    findings_major: Count = Field(default=0, description="Major findings, as declared.")
    findings_medium: Count = Field(default=0, description="Medium findings, as declared.")
    findings_minor: Count = Field(default=0, description="Minor findings, as declared.")
    findings_total: Count = Field(default=0, description="All findings, as declared.")
    suppressions_applied: Count = Field(
        default=0, description="Findings that a suppression held back, as declared."
    )
    config_snapshot: JsonObject | None = Field(
        default=None, sa_type=FrozenJsonb, description="Configuration that the review ran with."
    )
    duration_ms: Count | None = Field(
        default=None, description="How long the review took, in milliseconds."
    )
    model: Text | None = Field(default=None, description="Model that reviewed.")
    conclusion: Text = Field(default="unknown", description="How the review ended.")


class Finding(Record, table=True):
    """One thing that a review found in one file.

    Lifecycle: written with its review; later only the comment's id and surface are filled in, and
        `suppressed` may change.
    Invariants: the review exists, `end_line` is not before `start_line`, confidence is a
        percentage.

    Indexes: the review's findings; a repository's by severity, by file and by comment; GIN on the
        title's lexemes.
    """

    __tablename__ = "findings"
    __table_args__ = (
        references("reviews", "review_id"),
        CheckConstraint("end_line >= start_line", name="lines"),
        index("review_id"),
        index("repo", "severity"),
        index("repo", "file_path"),
        index("repo", "comment_id"),
        *search_vector(title="C"),
        *text_hash_column("title"),
    )
    __mapper_args__ = SEARCH_VECTOR_UNMAPPED

    review_id: UUID = Field(description="Review that found it.")
    repo: Name = Field(description="Repository, as owner/name.")
    file_path: Key = Field(description="File, from the repository's root.")
    start_line: Positive | None = Field(default=None, description="First line, from 1.")
    end_line: Positive | None = Field(default=None, description="Last line, included.")
    severity: Severity = Field(description="How much it matters.")
    category: Category = Field(description="What it is about.")
    confidence: int = Field(ge=0, le=100, description="How sure the reviewer is, in percent.")
    title: Text = Field(min_length=1, description="The finding in one sentence.")
    suppressed: bool = Field(default=False, description="Held back by a suppression.")
    suppression_pattern: Text | None = Field(
        default=None, description="Suppression that held it back."
    )
    comment_id: ExternalId | None = Field(
        default=None, description="Comment that was posted for it."
    )
    comment_surface: Text | None = Field(default=None, description="Where the comment was posted.")
    review_output_key: Key | None = Field(
        default=None, description="Output of the review that posted it."
    )

    @model_validator(mode="after")
    def _lines_in_order(self) -> Self:
        if (
            self.start_line is not None
            and self.end_line is not None
            and self.end_line < self.start_line
        ):
            raise ValueError("end_line is before start_line")
        return self


class SuppressionLogEntry(Record, table=True):
    """One suppression that a review applied, and the findings that it held back.

    SavepointLog with the review, never changed.
    """

    __tablename__ = "suppression_log"
    __table_args__ = (references("reviews", "review_id"), index("review_id"))

    review_id: UUID = Field(description="Review that applied it.")
    pattern: Text = Field(min_length=1, description="Pattern that matched.")
    matched_count: Count = Field(description="Findings that it held back.")
    finding_ids: tuple[UUID, ...] = Field(
        default=(),
        sa_type=ARRAY(Uuid(), as_tuple=True),
        nullable=False,
        description="Those findings, where they were kept.",
    )


class FeedbackReaction(Record, table=True):
    """One person's reaction to one comment, with the facts of the finding at that time.

    Lifecycle: the first of a key is stored, never changed, and deleted when it is withdrawn. A
    person's newest reaction to a comment counts. Unique: `(tenant, repo, comment_id, reaction_id)`.
    Indexes: that one, `(tenant, review_id)` and `(tenant, finding_id)`.
    """

    __tablename__ = "feedback_reactions"
    __table_args__ = (
        references("reviews", "review_id"),
        references("findings", "finding_id"),
        unique("repo", "comment_id", "reaction_id"),
        index("review_id"),
        index("finding_id"),
    )

    repo: Name = Field(description="Repository, as owner/name.")
    review_id: UUID = Field(description="Review that the comment belongs to.")
    finding_id: UUID = Field(description="Finding that the comment told.")
    comment_id: ExternalId = Field(description="Comment that was reacted to.")
    comment_surface: Text = Field(description="Where the comment was posted.")
    reaction_id: ExternalId = Field(description="Reaction, as the code host numbers it.")
    reaction_content: Reaction = Field(description="Thumbs up or thumbs down.")
    reactor_login: Name = Field(description="Who reacted.")
    reacted_at: Timestamp | None = Field(default=None, description="When they did.")
    severity: Severity = Field(description="The finding's severity.")
    category: Category = Field(description="The finding's category.")
    file_path: Key = Field(description="The finding's file.")
    title: Text = Field(min_length=1, description="The finding's title.")
