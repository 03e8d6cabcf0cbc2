"""Reviews with their findings and reactions."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from domain.entities.reviews import FeedbackReaction, Finding, Review, SuppressionLogEntry
from domain.errors import InvalidInput
from domain.values.classification import Severity
from repositories.testing.factories.reviews import (
    FeedbackReactionFactory,
    FindingFactory,
    ReviewFactory,
    SuppressionLogEntryFactory,
)

if TYPE_CHECKING:
    from domain.ports import UnitOfWork


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewGraph:
    """A review with what belongs to it.

    Suppressed findings are among the findings, have no comment and no reaction.
    """

    review: Review
    findings: tuple[Finding, ...]
    reactions: tuple[FeedbackReaction, ...]
    suppressions: tuple[SuppressionLogEntry, ...]

    def add_to(self, uow: UnitOfWork) -> None:
        """Take everything into the unit of work.

        It is written with its next statement or its commit.
        """
        uow.reviews.add(self.review)
        for finding in self.findings:
            uow.findings.add(finding)
        for entry in self.suppressions:
            uow.suppressions.add(entry)
        for reaction in self.reactions:
            uow.reactions.add(reaction)


def review_with_findings(
    *, findings: int = 3, reactions: int = 2, suppressed: int = 0, **review: Any
) -> ReviewGraph:
    """Build a review with findings and reactions.

    Args:
        findings: number of findings.
        reactions: number of reactions, which go to the unsuppressed findings in turn.
        suppressed: number of findings that are suppressed, from the last.
        review: fields of the review. Its counts are those of the findings by default.

    Raises:
        InvalidInput: more findings are suppressed than there are, or there are reactions and
            nothing to react to.
    """
    if not 0 <= suppressed <= findings or (reactions and suppressed == findings):
        raise InvalidInput(
            "there must be findings to suppress and findings to react to", field="findings"
        )
    root = ReviewFactory.build(**review)
    posted = FindingFactory.build_batch(findings - suppressed, review=root, posted=True)
    silenced = FindingFactory.build_batch(
        suppressed, review=root, suppressed=True, suppression_pattern="known and accepted"
    )
    _declare(root, [*posted, *silenced], suppressed=suppressed)
    return ReviewGraph(
        review=root,
        findings=(*posted, *silenced),
        reactions=tuple(
            FeedbackReactionFactory.build(finding=posted[n % len(posted)]) for n in range(reactions)
        ),
        suppressions=tuple(
            SuppressionLogEntryFactory.build(
                review=root, findings=[finding], pattern=finding.suppression_pattern
            )
            for finding in silenced
        ),
    )


def _declare(review: Review, findings: list[Finding], *, suppressed: int) -> None:
    by_severity = Counter(finding.severity for finding in findings)
    review.findings_critical = by_severity[Severity.CRITICAL]
    review.findings_major = by_severity[Severity.MAJOR]
    review.findings_medium = by_severity[Severity.MEDIUM]
    review.findings_minor = by_severity[Severity.MINOR]
    review.findings_total = len(findings)
    review.suppressions_applied = suppressed
