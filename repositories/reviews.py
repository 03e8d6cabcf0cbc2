"""Reviews, findings, suppressions and reactions, in PostgreSQL."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from sqlalchemy import Select, and_

from domain import ports
from domain.entities.reviews import FeedbackReaction, Finding, Review
from domain.ports.implementing import implements
from domain.results import PriorFinding
from domain.values.classification import Severity
from domain.values.fingerprints import title_fingerprint
from domain.values.ids import require_id
from domain.values.insights import (
    MAX_TREND_DAYS,
    FeedbackPattern,
    FileCount,
    RepoStats,
    TrendDay,
)
from domain.values.numbers import require_whole
from domain.values.paging import DEFAULT_LIMIT, require_at_most, require_limit
from domain.values.timestamps import require_zone
from domain.values.turns import slices, sorted_in_slices
from repositories.base import ReadRepository, Repository
from repositories.common_search.findings import FindingSearches
from repositories.conflict_writes import insert_new
from repositories.search import SearchRepository
from repositories.sql import insights, runs
from repositories.sql.filters import FilterKey
from repositories.sql.rows import delete_rows

if TYPE_CHECKING:
    from domain.ports import Progress, Rows
    from repositories.postgres.compiled_statements import Row


@implements(ports.ReviewReader)
class ReviewReader(ReadRepository[Review]):
    """Reads reviews and their figures."""

    entity = Review

    async def stats(self, repo: str, *, since: datetime | None = None) -> RepoStats:
        statement = insights.repo_stats(
            self._transaction.tenant, repo, require_zone(since, "since")
        )
        [row] = await self._transaction.rows(statement)
        return RepoStats(
            reviews=row["reviews"],
            findings=row["findings"],
            by_severity={severity: row[severity.value] for severity in Severity},
            suppressed=row["suppressed"],
            findings_per_review=_mean(row["findings"], row["reviews"]),
            average_confidence=_mean(row["confidence"], row["findings"]),
            declared_findings=row["declared"],
            top_files=_top_files(row["top_files"] or ()),
        )

    async def trends(self, repo: str, *, days: int) -> Sequence[TrendDay]:
        require_whole(days, "days", most=MAX_TREND_DAYS)
        return [
            _trend_day(row)
            for row in await self._transaction.rows(
                insights.daily_trends(self._transaction.tenant, repo, days)
            )
        ]


@implements(ports.FindingReader)
class FindingReader(SearchRepository[Finding], FindingSearches[FilterKey]):
    """Finds findings by comment, by run and by words."""

    entity = Finding

    async def recent_comment_candidates(
        self, repo: str, *, limit: int = DEFAULT_LIMIT
    ) -> Sequence[Finding]:
        columns = Finding.__table__.c
        has_comment = (
            column.is_not(None)
            for column in (columns.comment_id, columns.comment_surface, columns.review_output_key)
        )
        return await self._all(
            self._newest_first()
            .where(columns.repo == repo, *has_comment)
            .limit(require_limit(limit))
        )

    async def find_by_comment(self, repo: str, comment_id: int) -> Finding | None:
        columns = Finding.__table__.c
        return await self._one(
            self._newest_first()
            .where(columns.repo == repo, columns.comment_id == comment_id)
            .limit(1)
        )

    async def prior(
        self, repo: str, pr_number: int, *, limit: int = DEFAULT_LIMIT
    ) -> Sequence[PriorFinding]:
        findings, reviews, tenant = (
            Finding.__table__.c,
            Review.__table__.c,
            self._transaction.tenant,
        )
        head = runs.last_reviewed_head(tenant, repo, pr_number).scalar_subquery()
        of_that_head = and_(
            reviews.repo == repo, reviews.pr_number == pr_number, reviews.head_sha == head
        )
        of_its_review = and_(reviews.tenant == tenant, reviews.id == findings.review_id)
        listing = (
            self._select()
            .join(Review.__table__, of_its_review)
            .where(of_that_head, findings.suppressed.is_(False))
        )
        rows = await self._all(listing.order_by(findings.id).limit(require_limit(limit)))
        return [
            PriorFinding(finding=finding, fingerprint=title_fingerprint(finding.title))
            async for some in slices(rows)
            for finding in some
        ]

    def _newest_first(self) -> Select[Any]:
        columns = Finding.__table__.c
        return self._select().order_by(columns.created_at.desc(), columns.id)


@implements(ports.FindingRepository)
class FindingRepository(FindingReader, Repository[Finding]):
    """Writes findings."""

    async def delete_of_review(self, review_id: UUID, *, at_most: int | None = None) -> int:
        condition = Finding.__table__.c.review_id == require_id(review_id, "review_id")
        statement = delete_rows(
            Finding, self._transaction.tenant, condition, at_most=require_at_most(at_most)
        )
        return await self._transaction.changed(statement)


@implements(ports.ReactionReader)
class ReactionReader(ReadRepository[FeedbackReaction]):
    """Reads reactions and the patterns in them."""

    entity = FeedbackReaction

    async def patterns(self, repo: str) -> Sequence[FeedbackPattern]:
        titles: defaultdict[str, list[Row]] = defaultdict(list)
        by_title = insights.reactions_by_title(self._transaction.tenant, repo)
        async for some in slices(await self._transaction.rows(by_title)):
            for row in some:
                titles[title_fingerprint(row["title"])].append(row)
        disliked = [
            pattern
            async for part in slices(list(titles.items()))
            for pattern in itertools.starmap(_pattern, part)
            if pattern.thumbs_down
        ]
        return await sorted_in_slices(
            disliked, lambda pattern: (-pattern.thumbs_down, pattern.fingerprint)
        )


@implements(ports.ReactionRepository)
class ReactionRepository(ReactionReader, Repository[FeedbackReaction]):
    """Writes reactions."""

    async def add_many(
        self, entities: Rows[FeedbackReaction], *, progress: Progress | None = None
    ) -> int:
        key = ("repo", "comment_id", "reaction_id")
        return await insert_new(
            self._transaction, FeedbackReaction, entities, key, progress=progress
        )

    async def withdraw(self, repo: str, comment_id: int, reaction_id: int) -> bool:
        columns = FeedbackReaction.__table__.c
        conditions = (
            columns.repo == repo,
            columns.comment_id == comment_id,
            columns.reaction_id == reaction_id,
        )
        statement = delete_rows(FeedbackReaction, self._transaction.tenant, and_(*conditions))
        return await self._transaction.changed(statement) > 0

    async def clear(self, repo: str, *, at_most: int | None = None) -> int:
        condition = FeedbackReaction.__table__.c.repo == repo
        statement = delete_rows(
            FeedbackReaction, self._transaction.tenant, condition, at_most=require_at_most(at_most)
        )
        return await self._transaction.changed(statement)


def _mean(total: int | None, count: int) -> float | None:
    return None if total is None or count == 0 else total / count


def _top_files(counted: Iterable[tuple[str, int]]) -> tuple[FileCount, ...]:
    files = (FileCount(file_path=path, findings=findings) for path, findings in counted)
    return tuple(sorted(files, key=lambda file: (-file.findings, file.file_path)))


def _trend_day(row: Row) -> TrendDay:
    return TrendDay(
        day=row["day"],
        reviews=row["reviews"] or 0,
        findings=row["findings"] or 0,
        suppressions=row["suppressions"] or 0,
        average_confidence=_mean(row["confidence"], row["findings"] or 0),
    )


def _pattern(fingerprint: str, rows: Sequence[Row]) -> FeedbackPattern:
    newest = max(
        rows, key=lambda row: (row["newest_at"], row["newest_reaction_id"], row["newest_id"])
    )
    return FeedbackPattern(
        fingerprint=fingerprint,
        title=newest["title"],
        severity=newest["severity"],
        category=newest["category"],
        thumbs_down=sum(row["thumbs_down"] for row in rows),
        thumbs_up=sum(row["thumbs_up"] for row in rows),
        reactors=len({login for row in rows for login in row["reactors"] or ()}),
        pull_requests=len({number for row in rows for number in row["pull_requests"] or ()}),
    )
