"""Factories of reviews, findings, suppressions and reactions."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from factory import fuzzy
from factory.declarations import (
    LazyAttribute,
    LazyAttributeSequence,
    LazyFunction,
    SelfAttribute,
    Sequence,
    SubFactory,
    Trait,
)
from factory.faker import Faker

from domain.entities.reviews import FeedbackReaction, Finding, Reaction, Review, SuppressionLogEntry
from repositories.testing.factories.base import SEEDED_FROM, EntityFactory, new_id
from repositories.testing.factories.texts import REPOS, any_issue, worded

FIRST_COMMENT = 3_000_000_000
"""Code hosts ran out of 32 bits long ago."""


class ReviewFactory(EntityFactory[Review]):
    """A review that ended well and found nothing."""

    id: Any = LazyFunction(new_id)
    repo: Any = fuzzy.FuzzyChoice(REPOS)
    pr_number: Any = Sequence(lambda n: n + 1)
    head_sha: Any = Faker("sha1")
    delivery_id: Any = Faker("uuid4")
    files_analyzed: Any = fuzzy.FuzzyInteger(1, 40)
    lines_changed: Any = fuzzy.FuzzyInteger(1, 2_000)
    duration_ms: Any = fuzzy.FuzzyInteger(1_000, 90_000)
    model: Any = "reviewer-1"
    conclusion: Any = "success"


class FindingFactory(EntityFactory[Finding]):
    """A finding of `review`, by default of one that is not written.

    `posted=True` gives it a comment.
    """

    class Params:
        review = SubFactory(ReviewFactory)
        issue = LazyFunction(any_issue)
        posted = Trait(
            comment_id=Sequence(lambda n: FIRST_COMMENT + n),
            comment_surface="inline",
            review_output_key=LazyAttribute(lambda finding: f"{finding.repo}#{finding.review_id}"),
        )

    id: Any = LazyFunction(new_id)
    review_id: Any = SelfAttribute("review.id")
    repo: Any = SelfAttribute("review.repo")
    file_path: Any = SelfAttribute("issue.file_path")
    start_line: Any = fuzzy.FuzzyInteger(1, 400)
    end_line: Any = LazyAttribute(lambda finding: finding.start_line and finding.start_line + 3)
    severity: Any = SelfAttribute("issue.severity")
    category: Any = SelfAttribute("issue.category")
    confidence: Any = fuzzy.FuzzyInteger(50, 99)
    title: Any = LazyAttribute(lambda finding: worded(finding.issue.title))


class SuppressionLogEntryFactory(EntityFactory[SuppressionLogEntry]):
    """A suppression that `review` applied to `findings`, by default to one that is not written."""

    class Params:
        review = SubFactory(ReviewFactory)
        findings = LazyAttribute(
            lambda entry: [FindingFactory.build(review=entry.review, suppressed=True)]
        )

    id: Any = LazyFunction(new_id)
    review_id: Any = SelfAttribute("review.id")
    pattern: Any = LazyFunction(lambda: any_issue().title)
    matched_count: Any = LazyAttribute(lambda entry: len(entry.finding_ids))
    finding_ids: Any = LazyAttribute(lambda entry: tuple(finding.id for finding in entry.findings))


class FeedbackReactionFactory(EntityFactory[FeedbackReaction]):
    """A thumbs-down on the comment of `finding`, whose facts it repeats.

    By default one that is not written.
    """

    class Params:
        finding = SubFactory(FindingFactory, posted=True)

    id: Any = LazyFunction(new_id)
    repo: Any = SelfAttribute("finding.repo")
    review_id: Any = SelfAttribute("finding.review_id")
    finding_id: Any = SelfAttribute("finding.id")
    comment_id: Any = LazyAttributeSequence(
        lambda reaction, n: _or_else(reaction.finding.comment_id, FIRST_COMMENT + n)
    )
    comment_surface: Any = LazyAttribute(
        lambda reaction: _or_else(reaction.finding.comment_surface, "inline")
    )
    reaction_id: Any = Sequence(lambda n: FIRST_COMMENT + n)
    reaction_content: Any = Reaction.THUMBS_DOWN
    reactor_login: Any = Faker("user_name")
    reacted_at: Any = fuzzy.FuzzyDateTime(SEEDED_FROM, SEEDED_FROM + timedelta(days=30))
    severity: Any = SelfAttribute("finding.severity")
    category: Any = SelfAttribute("finding.category")
    file_path: Any = SelfAttribute("finding.file_path")
    title: Any = SelfAttribute("finding.title")


def _or_else(value: Any, default: Any) -> Any:
    return default if value is None else value
