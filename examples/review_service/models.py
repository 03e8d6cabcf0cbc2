"""Requests and responses.

Fields have the domain's types, so a value that an entity would refuse is refused here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Annotated, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from domain import Category, Finding, Outcome, Reaction, Recall, Review, SearchHits, Severity
from domain.values.numbers import Count, ExternalId, Positive
from domain.values.text import Key, Name, Text
from examples.review_service.service import Delivery, Opinion, Similar

Title = Annotated[Text, Field(min_length=1, max_length=1_000)]


class Request(BaseModel):
    """The body of a request. Unknown fields are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Response(BaseModel):
    """The body of a response, created from a value with the same attributes."""

    model_config = ConfigDict(from_attributes=True, frozen=True)


class NewFinding(Request):
    """A finding of the review."""

    file_path: Key
    start_line: Positive | None = None
    end_line: Positive | None = None
    severity: Severity
    category: Category
    confidence: Annotated[int, Field(ge=0, le=100)]
    title: Title
    comment_id: ExternalId | None = None
    comment_surface: Name | None = None

    def of(self, review: Review) -> Finding:
        """Return the finding as an entity of the review."""
        return Finding(review_id=review.id, repo=review.repo, **self.model_dump())


class NewReview(Request):
    """A finished review."""

    repo: Annotated[Name, Field(pattern=r"^[^/\s]+/[^/\s]+$")]
    pr_number: Positive
    base_sha: Name
    head_sha: Name
    delivery_id: Name
    action: Name = "opened"
    files_analyzed: Count = 0
    lines_changed: Count = 0
    model: Name | None = None
    conclusion: Name = "success"
    findings: Annotated[Sequence[NewFinding], Field(max_length=1_000)] = ()

    def review(self) -> Review:
        """Return the review as an entity, with a new id."""
        facts = self.model_dump(exclude={"base_sha", "action", "findings"})
        declared = Counter(f"findings_{finding.severity}" for finding in self.findings)
        return Review(**{**facts, **declared}, findings_total=len(self.findings))

    def delivery(self) -> Delivery:
        """Return the delivery that requested the review."""
        return Delivery(
            base_sha=self.base_sha,
            head_sha=self.head_sha,
            delivery_id=self.delivery_id,
            action=self.action,
        )


class RecordedReview(Response):
    """The recorded review; its findings have the order of the request."""

    review_id: UUID
    finding_ids: Sequence[UUID]
    is_new: bool


class Feedback(Request):
    """A person's reaction."""

    reaction: Reaction
    login: Name
    reaction_id: ExternalId
    comment_id: ExternalId | None = None
    comment_surface: Name = "inline"

    def opinion(self) -> Opinion:
        """Return the opinion that the service records."""
        return Opinion(**self.model_dump())


class FeedbackRecorded(Response):
    """Whether the reaction was new, and whether a memory was written."""

    is_counted: bool
    is_learned: bool


class SimilarMemory(Response):
    """Something that was learned.

    `is_shared` tells that another repository of the owner learned it.
    """

    text: str
    repo: str
    file_path: str
    severity: Severity
    category: Category
    outcome: Outcome
    is_shared: bool
    score: float


class SimilarFinding(Response):
    """A finding of this repository."""

    id: UUID
    review_id: UUID
    title: str
    file_path: str
    severity: Severity
    category: Category
    score: float


class SimilarThings(Response):
    """Memories and findings that are similar to a text, best first."""

    memories: Sequence[SimilarMemory]
    findings: Sequence[SimilarFinding]

    @classmethod
    def of(cls, similar: Similar) -> Self:
        """Return the hits without internal fields."""
        return cls(memories=_memories(similar.recall), findings=_findings(similar.findings))


def _memories(recall: Recall) -> list[SimilarMemory]:
    return [
        SimilarMemory(
            text=recalled.hit.item.finding_text,
            is_shared=recalled.shared,
            score=recalled.hit.score,
            **recalled.hit.item.model_dump(
                include={"repo", "file_path", "severity", "category", "outcome"}
            ),
        )
        for recalled in recall.memories
    ]


def _findings(hits: SearchHits[Finding]) -> list[SimilarFinding]:
    shown = SimilarFinding.model_fields.keys() - {"score"}
    return [
        SimilarFinding(score=hit.score, **hit.item.model_dump(include=set(shown))) for hit in hits
    ]


class FindingsOfFile(Response):
    """A file with its number of findings."""

    file_path: str
    findings: int


class Stats(Response):
    """Figures of a repository. An average of no rows is null."""

    reviews: int
    findings: int
    by_severity: Mapping[Severity, int]
    suppressed: int
    findings_per_review: float | None
    average_confidence: float | None
    top_files: Sequence[FindingsOfFile]


class Day(Response):
    """A UTC day of a repository."""

    day: date
    reviews: int
    findings: int
    suppressions: int
    average_confidence: float | None
