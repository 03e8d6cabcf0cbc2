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

    id = LazyFunction(new_id)
    repo = fuzzy.FuzzyChoice(REPOS)
    pr_number = Sequence(lambda n: n + 1)
    head_sha = Faker("sha1")
    delivery_id = Faker("uuid4")
    files_analyzed = fuzzy.FuzzyInteger(1, 40)
    lines_changed = fuzzy.FuzzyInteger(1, 2_000)
    duration_ms = fuzzy.FuzzyInteger(1_000, 90_000)
    model = "reviewer-1"
    conclusion = "success"


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

    id = LazyFunction(new_id)
    review_id = SelfAttribute("review.id")
    repo = SelfAttribute("review.repo")
    file_path = SelfAttribute("issue.file_path")
    start_line = fuzzy.FuzzyInteger(1, 400)
    end_line = LazyAttribute(lambda finding: finding.start_line and finding.start_line + 3)
    severity = SelfAttribute("issue.severity")
    category = SelfAttribute("issue.category")
    confidence = fuzzy.FuzzyInteger(50, 99)
    title = LazyAttribute(lambda finding: worded(finding.issue.title))


class SuppressionLogEntryFactory(EntityFactory[SuppressionLogEntry]):
    """A suppression that `review` applied to `findings`, by default to one that is not written."""

    class Params:
        review = SubFactory(ReviewFactory)
        findings = LazyAttribute(
            lambda entry: [FindingFactory.build(review=entry.review, suppressed=True)]
        )

    id = LazyFunction(new_id)
    review_id = SelfAttribute("review.id")
    pattern = LazyFunction(lambda: any_issue().title)
    matched_count = LazyAttribute(lambda entry: len(entry.finding_ids))
    finding_ids = LazyAttribute(lambda entry: tuple(finding.id for finding in entry.findings))


class FeedbackReactionFactory(EntityFactory[FeedbackReaction]):
    """A thumbs-down on the comment of `finding`, whose facts it repeats.

    By default one that is not written.
    """

    class Params:
        finding = SubFactory(FindingFactory, posted=True)

    id = LazyFunction(new_id)
    repo = SelfAttribute("finding.repo")
    review_id = SelfAttribute("finding.review_id")
    finding_id = SelfAttribute("finding.id")
    comment_id = LazyAttributeSequence(
        lambda reaction, n: _or_else(reaction.finding.comment_id, FIRST_COMMENT + n)
    )
    comment_surface = LazyAttribute(
        lambda reaction: _or_else(reaction.finding.comment_surface, "inline")
    )
    reaction_id = Sequence(lambda n: FIRST_COMMENT + n)
    reaction_content = Reaction.THUMBS_DOWN
    reactor_login = Faker("user_name")
    reacted_at = fuzzy.FuzzyDateTime(SEEDED_FROM, SEEDED_FROM + timedelta(days=30))
    severity = SelfAttribute("finding.severity")
    category = SelfAttribute("finding.category")
    file_path = SelfAttribute("finding.file_path")
    title = SelfAttribute("finding.title")


def _or_else(value: Any, default: Any) -> Any:
    return default if value is None else value
