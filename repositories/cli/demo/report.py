"""A run of the linter as entities: a review, its findings, suppressions and memories."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from domain import (
    Finding,
    LearningMemory,
    Outcome,
    Review,
    Severity,
    SuppressionLogEntry,
    TelemetryEvent,
)
from repositories.cli.demo import embedder
from repositories.cli.demo.grades import SELECTED, confidence, grade

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from uuid import UUID

    from repositories.cli.demo.linter import LintReport, Violation
    from repositories.cli.demo.source import Source

MAX_FINDINGS: Final = 2_000
"""The demo stores at most this many findings, the most severe ones; the review counts them all."""

PR_NUMBER: Final = 1
BASE_SHA: Final = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
"""Git's empty tree, so that every file is new."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewReport:
    """One review and its rows. The memories have no embeddings yet."""

    review: Review
    findings: tuple[Finding, ...]
    suppressions: tuple[SuppressionLogEntry, ...]
    memories: tuple[LearningMemory, ...]
    telemetry: TelemetryEvent

    @property
    def left_out(self) -> int:
        """Number of findings that are not stored."""
        return self.review.findings_total - len(self.findings)

    @property
    def suppressed(self) -> int:
        """Number of stored findings that a comment in the source suppresses."""
        return sum(finding.suppressed for finding in self.findings)


def review_report(source: Source, report: LintReport, *, head_sha: str) -> ReviewReport:
    """Return the report of one run of the linter over `source`."""
    review = _review(source, report, head_sha=head_sha)
    order = list(Severity)
    worst_first = sorted(
        report.violations, key=lambda violation: order.index(grade(violation.code)[0])
    )
    selected = [
        (violation, _finding(source, review, violation)) for violation in worst_first[:MAX_FINDINGS]
    ]
    return ReviewReport(
        review=review,
        findings=tuple(finding for _, finding in selected),
        suppressions=tuple(_suppressions(review, selected)),
        memories=tuple(_memories(source, selected)),
        telemetry=_telemetry(source, report, review),
    )


def _review(source: Source, report: LintReport, *, head_sha: str) -> Review:
    graded = Counter(grade(violation.code)[0] for violation in report.violations)
    suppressed = sum(violation.suppressed for violation in report.violations)
    return Review(
        repo=source.repo,
        pr_number=PR_NUMBER,
        head_sha=head_sha,
        delivery_id=delivery_id(head_sha),
        files_analyzed=len(source.files),
        lines_changed=source.count_lines(),
        findings_critical=graded[Severity.CRITICAL],
        findings_major=graded[Severity.MAJOR],
        findings_medium=graded[Severity.MEDIUM],
        findings_minor=graded[Severity.MINOR],
        findings_total=graded.total(),
        suppressions_applied=suppressed,
        config_snapshot={"select": list(SELECTED), "version": source.version},
        duration_ms=report.duration_ms,
        model=report.linter,
        conclusion="failure" if graded.total() > suppressed else "success",
    )


def delivery_id(head_sha: str) -> str:
    """Return an id in place of the webhook delivery that requests the review of this head."""
    return f"demo-{head_sha[:12]}"


def _finding(source: Source, review: Review, violation: Violation) -> Finding:
    severity, category = grade(violation.code)
    return Finding(
        review_id=review.id,
        repo=review.repo,
        file_path=source.relative(violation.path),
        start_line=violation.line,
        end_line=violation.last_line,
        severity=severity,
        category=category,
        confidence=confidence(violation.repair),
        title=f"{violation.message} ({violation.code})",
        suppressed=violation.suppressed,
        suppression_pattern=_pattern(violation) if violation.suppressed else None,
        review_output_key=review.delivery_id,
    )


def _pattern(violation: Violation) -> str:
    return f"# noqa: {violation.code}"


def _suppressions(
    review: Review, selected: Sequence[tuple[Violation, Finding]]
) -> Iterable[SuppressionLogEntry]:
    finding_ids: dict[str, list[UUID]] = defaultdict(list)
    for violation, finding in selected:
        if violation.suppressed:
            finding_ids[_pattern(violation)].append(finding.id)
    for pattern, ids in sorted(finding_ids.items()):
        yield SuppressionLogEntry(
            review_id=review.id, pattern=pattern, matched_count=len(ids), finding_ids=tuple(ids)
        )


def _memories(
    source: Source, selected: Sequence[tuple[Violation, Finding]]
) -> Iterable[LearningMemory]:
    """Yield one memory for each rule and outcome: suppressed in a comment, or accepted."""
    yielded: set[tuple[str, Outcome]] = set()
    for violation, finding in selected:
        outcome = Outcome.SUPPRESSED if violation.suppressed else Outcome.ACCEPTED
        if (violation.code, outcome) not in yielded:
            yielded.add((violation.code, outcome))
            yield LearningMemory(
                repo=finding.repo,
                owner=source.owner,
                finding_id=finding.id,
                review_id=finding.review_id,
                source_repo=finding.repo,
                finding_text=f"{violation.name.replace('-', ' ')}: {violation.message}",
                severity=finding.severity,
                category=finding.category,
                file_path=finding.file_path,
                language="python",
                outcome=outcome,
                embedding_model=embedder.MODEL,
            )


def _telemetry(source: Source, report: LintReport, review: Review) -> TelemetryEvent:
    return TelemetryEvent(
        delivery_id=review.delivery_id,
        repo=source.repo,
        pr_number=PR_NUMBER,
        event_type="lint",
        provider="local",
        model=report.linter,
        duration_ms=report.duration_ms,
        conclusion=review.conclusion,
    )
