"""Statistics and trends of reviews, and the patterns in people's feedback."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Final

from domain.values.classification import Category, Severity

TOP_FILES: Final = 10
"""The most files in `RepoStats.top_files`."""

MAX_TREND_DAYS: Final = 3_650
"""The most days that `reviews.trends` returns."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileCount:
    """How many findings one file has."""

    file_path: str
    findings: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RepoStats:
    """Figures of one repository's reviews, counted from the rows.

    `by_severity` has all four keys. An average without values is None. `declared_findings`
    is the sum of the numbers that the reviews declare, which may differ from the number of rows.
    `top_files` has the files with most findings first, then by path.
    """

    reviews: int
    findings: int
    by_severity: Mapping[Severity, int]
    suppressed: int
    findings_per_review: float | None
    average_confidence: float | None
    declared_findings: int
    top_files: tuple[FileCount, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrendDay:
    """One UTC day of one repository; a day without a review has zeros and no average."""

    day: date
    reviews: int
    findings: int
    suppressions: int
    average_confidence: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedbackPattern:
    """One kind of finding that people disliked at least once.

    Titles with the same fingerprint are one pattern; `title`, `severity` and `category` are those
    of its newest reaction. Reactors and pull requests are counted over the thumbs-down only.
    """

    fingerprint: str
    title: str
    severity: Severity
    category: Category
    thumbs_down: int
    thumbs_up: int
    reactors: int
    pull_requests: int
