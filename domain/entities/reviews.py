"""Reviews, their findings and suppressions, and reactions to the findings' comments."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final, Self
from uuid import UUID

from annotated_types import MaxLen
from pydantic import model_validator
from sqlalchemy import ARRAY, CheckConstraint, Uuid, text
from sqlmodel import Field

from domain.schema.base import Record
from domain.schema.columns import (
    INDEXED_BY_HASH,
    SEARCH_VECTOR_UNMAPPED,
    FrozenJsonb,
    search_vector,
)
from domain.schema.constraints import index, named_index, references, unique
from domain.schema.text_hash import text_hash_column
from domain.values.classification import Category, Severity
from domain.values.jsonb import JsonObject
from domain.values.numbers import Count, ExternalId, Positive
from domain.values.text import Key, Name, Text
from domain.values.timestamps import Timestamp


class Reaction(StrEnum):
    """A reaction to a comment."""

    THUMBS_UP = "+1"
    THUMBS_DOWN = "-1"


class Review(Record, table=True):
    """One finished review of one pull request.

    Lifecycle:

    - Written once, in the unit of work that writes its findings. Never updated.
    - Deleting it deletes its findings, suppressions and reactions.

    Invariant: the `findings_*` counts are those that the reviewer reported. Statistics count the
    rows of findings instead.

    Indexes:

    - `(tenant, repo, created_at)`: the latest reviews of a repository, and trends
    - `(tenant, repo, pr_number)`: the reviews of one pull request
    """

    __tablename__ = "reviews"
    __table_args__ = (index("repo", "created_at"), index("repo", "pr_number"))

    repo: Name = Field(description="Repository, as owner/name.")
    pr_number: Positive = Field(description="Number of the pull request.")
    head_sha: Name | None = Field(default=None, description="Commit that was reviewed.")
    delivery_id: Name | None = Field(
        default=None, description="Webhook delivery that triggered the review."
    )
    files_analyzed: Count = Field(default=0, description="Files that the review analyzed.")
    lines_changed: Count = Field(default=0, description="Lines that the pull request changes.")
    findings_critical: Count = Field(
        default=0, description="Critical findings, as the reviewer reported them."
    )
    findings_major: Count = Field(
        default=0, description="Major findings, as the reviewer reported them."
    )
    findings_medium: Count = Field(
        default=0, description="Medium findings, as the reviewer reported them."
    )
    findings_minor: Count = Field(
        default=0, description="Minor findings, as the reviewer reported them."
    )
    findings_total: Count = Field(
        default=0, description="All findings, as the reviewer reported them."
    )
    suppressions_applied: Count = Field(
        default=0, description="Suppressed findings, as the reviewer reported them."
    )
    config_snapshot: JsonObject | None = Field(
        default=None, sa_type=FrozenJsonb, description="Configuration of the review."
    )
    duration_ms: Count | None = Field(
        default=None, description="Duration of the review in milliseconds."
    )
    model: Text | None = Field(default=None, description="Language model that reviewed.")
    conclusion: Text = Field(
        default="unknown", description="Result of the review, such as success."
    )


class Finding(Record, table=True):
    """One finding of a review, in one file.

    Lifecycle:

    - Written in the unit of work that writes its review.
    - Updated when its comment is posted (`comment_id`, `comment_surface`, `review_output_key`), and
      when a suppression applies (`suppressed`, `suppression_pattern`).
    - Deleted with its review.

    Invariants: the review exists. `end_line` is not before `start_line`. `confidence` is from 0 to
    100.

    Indexes:

    - `(tenant, review_id)`: the findings of a review
    - `(tenant, repo, id)`: `list` and `page` of a repository's findings
    - `(tenant, repo, file_path)`: a repository's findings in one file
    - `(tenant, repo, comment_id)`: `find_by_comment`
    - `(tenant, repo, created_at, id)` of the findings with a comment: `recent_comment_candidates`
    - GIN on `search_vector`: keyword search over titles
    - `(tenant, text_hash)`: the statistics of keyword search
    """

    __tablename__ = "findings"
    __table_args__ = (
        references("reviews", "review_id"),
        CheckConstraint("end_line >= start_line", name="lines"),
        index("review_id"),
        index("repo", "id"),
        index("repo", "file_path"),
        index("repo", "comment_id"),
        named_index(
            "ix_findings_commented",
            "repo",
            text("created_at DESC"),
            "id",
            where="comment_id IS NOT NULL AND comment_surface IS NOT NULL"
            " AND review_output_key IS NOT NULL",
        ),
        *search_vector(title="C"),
        *text_hash_column("title"),
    )
    __mapper_args__ = SEARCH_VECTOR_UNMAPPED

    review_id: UUID = Field(description="Review that reported the finding.")
    repo: Name = Field(description="Repository, as owner/name.")
    file_path: Key = Field(description="Path of the file, relative to the repository's root.")
    start_line: Positive | None = Field(default=None, description="First line; lines count from 1.")
    end_line: Positive | None = Field(default=None, description="Last line, inclusive.")
    severity: Severity = Field(description="Severity of the finding.")
    category: Category = Field(description="Category of the finding.")
    confidence: int = Field(ge=0, le=100, description="Confidence of the reviewer, in percent.")
    title: Text = Field(min_length=1, description="Title of the finding: one sentence.")
    suppressed: bool = Field(
        default=False, description="Whether a suppression applies to the finding."
    )
    suppression_pattern: Text | None = Field(
        default=None, description="Pattern of that suppression."
    )
    comment_id: ExternalId | None = Field(
        default=None, description="Id of the comment that was posted for the finding."
    )
    comment_surface: Text | None = Field(
        default=None, description="Surface of the comment, such as inline."
    )
    review_output_key: Key | None = Field(
        default=None, description="Key of the review output that posted the comment."
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


MAX_FINDING_IDS: Final = 10_000
"""The most ids in one entry of the suppression log."""


class SuppressionLogEntry(Record, table=True):
    """One suppression that a review applied.

    Lifecycle: written with its review, never updated, deleted with its review.

    Indexes:

    - `(tenant, review_id)`: the suppressions of a review
    - `(tenant, md5(pattern))`: `list`, `page` and `exists` of one pattern, which can be longer than
      an entry of an index
    """

    __tablename__ = "suppression_log"
    __table_args__ = (
        references("reviews", "review_id"),
        index("review_id"),
        named_index("ix_suppression_log_pattern", text("md5(pattern)")),
    )

    review_id: UUID = Field(description="Review that applied the suppression.")
    pattern: Text = Field(
        min_length=1,
        sa_column_kwargs={"info": INDEXED_BY_HASH},
        description="Pattern of the suppression.",
    )
    matched_count: Count = Field(description="Number of findings that it suppressed.")
    finding_ids: Annotated[tuple[UUID, ...], MaxLen(MAX_FINDING_IDS)] = Field(
        default=(),
        sa_type=ARRAY(Uuid(), as_tuple=True),
        nullable=False,
        description="Ids of those of them that are stored.",
    )


class FeedbackReaction(Record, table=True):
    """One reaction of one person to the comment of a finding.

    It copies the finding's severity, category, file and title, so that statistics need no join.

    Lifecycle:

    - Written when the code host reports it; reporting it again changes nothing.
    - Deleted when it is withdrawn, with its review or finding, or by `reactions.clear`.

    Invariant: statistics count a person's newest reaction to a comment.

    Unique: `(tenant, repo, comment_id, reaction_id)`.

    Indexes: `(tenant, review_id)` and `(tenant, finding_id)`, which also serve the deletion of a
    review or finding.
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
    finding_id: UUID = Field(description="Finding that the comment reports.")
    comment_id: ExternalId = Field(description="Comment that the reaction is on.")
    comment_surface: Text = Field(description="Surface of the comment, such as inline.")
    reaction_id: ExternalId = Field(description="Id of the reaction at the code host.")
    reaction_content: Reaction = Field(description="Thumbs up (+1) or thumbs down (-1).")
    reactor_login: Name = Field(description="Login of the person who reacted.")
    reacted_at: Timestamp | None = Field(default=None, description="Time of the reaction.")
    severity: Severity = Field(description="Severity of the finding.")
    category: Category = Field(description="Category of the finding.")
    file_path: Key = Field(description="File of the finding.")
    title: Text = Field(min_length=1, description="Title of the finding.")
