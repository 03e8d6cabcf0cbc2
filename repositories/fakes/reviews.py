"""Reviews, findings, suppressions and reactions, in memory."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from operator import itemgetter
from typing import TYPE_CHECKING
from uuid import UUID

from domain import ports
from domain.entities.reviews import FeedbackReaction, Finding, Reaction, Review
from domain.ports.implementing import implements
from domain.results import PriorFinding
from domain.values.classification import Severity
from domain.values.fingerprints import title_fingerprint
from domain.values.ids import require_id
from domain.values.insights import (
    MAX_TREND_DAYS,
    TOP_FILES,
    FeedbackPattern,
    FileCount,
    RepoStats,
    TrendDay,
)
from domain.values.numbers import require_whole
from domain.values.paging import DEFAULT_LIMIT, require_at_most, require_limit
from domain.values.timestamps import require_zone
from domain.values.turns import slices, sorted_in_slices
from repositories.common_search.findings import FindingSearches
from repositories.fakes.repository import FakeReadRepository, FakeRepository, by_id
from repositories.fakes.runs import newest_completed
from repositories.fakes.search import FakeWordSearchRepository
from repositories.fakes.writes import Condition

if TYPE_CHECKING:
    from domain.ports import Progress, Rows
    from repositories.fakes.checks import Row

by_creation = itemgetter("created_at")


@implements(ports.ReviewReader)
class FakeReviewReader(FakeReadRepository[Review]):
    """Reads reviews and their figures."""

    async def stats(self, repo: str, *, since: datetime | None = None) -> RepoStats:
        start = require_zone(since, "since")
        reviews, findings = await self._of(
            lambda row: row["repo"] == repo and (start is None or row["created_at"] >= start)
        )
        severities = Counter(row["severity"] for row in findings)
        files = Counter(row["file_path"] for row in findings)
        most_first = sorted(files.items(), key=lambda item: (-item[1], item[0]))
        return RepoStats(
            reviews=len(reviews),
            findings=len(findings),
            by_severity={severity: severities[severity] for severity in Severity},
            suppressed=_suppressed(findings),
            findings_per_review=_mean(len(findings), len(reviews)),
            average_confidence=_confidence(findings),
            declared_findings=sum(row["findings_total"] for row in reviews),
            top_files=tuple(
                FileCount(file_path=path, findings=number)
                for path, number in most_first[:TOP_FILES]
            ),
        )

    async def trends(self, repo: str, *, days: int) -> Sequence[TrendDay]:
        require_whole(days, "days", most=MAX_TREND_DAYS)
        reviews, findings = await self._of(lambda row: row["repo"] == repo)
        written = {row["id"]: _day(row) for row in reviews}
        reviewed = Counter(written.values())
        by_day: defaultdict[date, list[Row]] = defaultdict(list)
        for row in findings:
            by_day[written[row["review_id"]]].append(row)
        today = self._transaction.now.date()
        return [
            _trend(day, reviewed[day], by_day[day])
            for day in (today - timedelta(ago) for ago in reversed(range(days)))
        ]

    async def _of(self, meets: Condition) -> tuple[Sequence[Row], Sequence[Row]]:
        """Return the reviews that meet the condition, and their findings."""
        async with self._transaction.statement():
            table = self._transaction.state.tables[Finding.__tablename__]
            snapshot = self._transaction.tenant_rows.snapshot(table)
            reviews = await self._transaction.tenant_rows.select(self._table, meets)
            ids = {row["id"] for row in reviews}
            return reviews, await self._transaction.tenant_rows.select(
                table, lambda row: row["review_id"] in ids, snapshot=snapshot
            )


@implements(ports.FindingReader)
class FakeFindingReader(FakeWordSearchRepository[Finding], FindingSearches[Condition]):
    """Finds findings by comment, by run and by words."""

    searched = (("title", "C"),)
    text = "title"

    async def recent_comment_candidates(
        self, repo: str, *, limit: int = DEFAULT_LIMIT
    ) -> Sequence[Finding]:
        require_limit(limit)
        fields = ("comment_id", "comment_surface", "review_output_key")
        rows = await self._newest_first(
            lambda row: row["repo"] == repo and all(row[name] is not None for name in fields)
        )
        return await self._entities(rows[:limit])

    async def find_by_comment(self, repo: str, comment_id: int) -> Finding | None:
        rows = await self._newest_first(
            lambda row: row["repo"] == repo and row["comment_id"] == comment_id
        )
        return self._first(rows)

    async def prior(
        self, repo: str, pr_number: int, *, limit: int = DEFAULT_LIMIT
    ) -> Sequence[PriorFinding]:
        require_limit(limit)
        async with self._transaction.statement():
            rows = await sorted_in_slices(await self._prior(repo, pr_number), by_id)
        findings = await self._entities(rows[:limit])
        return [
            PriorFinding(finding=finding, fingerprint=title_fingerprint(finding.title))
            for finding in findings
        ]

    async def _prior(self, repo: str, pr_number: int) -> Sequence[Row]:
        table = self._transaction.state.tables[Review.__tablename__]
        reviews, findings = map(self._transaction.tenant_rows.snapshot, (table, self._table))
        run = await newest_completed(self._transaction, repo, pr_number)
        if run is None:
            return []
        same = {"repo": repo, "pr_number": pr_number, "head_sha": run["head_sha"]}
        of_head = await self._transaction.tenant_rows.select(
            table,
            lambda row: all(row[name] == value for name, value in same.items()),
            snapshot=reviews,
        )
        ids = {row["id"] for row in of_head}
        return await self._transaction.tenant_rows.select(
            self._table,
            lambda row: row["review_id"] in ids and not row["suppressed"],
            snapshot=findings,
        )

    async def _newest_first(self, meets: Condition) -> Sequence[Row]:
        # Rows of the same moment keep the order of their ids.
        rows = await self._rows(meets, descending=True)
        return (await sorted_in_slices(rows, by_creation))[::-1]


@implements(ports.FindingRepository)
class FakeFindingRepository(FakeFindingReader, FakeRepository[Finding]):
    """Writes findings."""

    async def delete_of_review(self, review_id: UUID, *, at_most: int | None = None) -> int:
        key = require_id(review_id, "review_id")
        return await self._delete(
            lambda row: row["review_id"] == key, at_most=require_at_most(at_most)
        )


@implements(ports.ReactionReader)
class FakeReactionReader(FakeReadRepository[FeedbackReaction]):
    """Reads reactions and the patterns in them."""

    async def patterns(self, repo: str) -> Sequence[FeedbackPattern]:
        table = self._transaction.state.tables[Review.__tablename__]
        async with self._transaction.statement():
            reviews = self._transaction.tenant_rows.snapshot(table)
            reactions = await self._transaction.tenant_rows.select(
                self._table, lambda row: row["repo"] == repo
            )
            reviews = await self._transaction.tenant_rows.select(table, snapshot=reviews)
        pull_requests = {row["id"]: row["pr_number"] for row in reviews}
        titles: defaultdict[str, list[Row]] = defaultdict(list)
        async for some in slices(await _counted(reactions)):
            for row in some:
                titles[title_fingerprint(row["title"])].append(
                    {**row, "pr_number": pull_requests[row["review_id"]]}
                )
        patterns = [
            _pattern(fingerprint, rows)
            async for same in slices(list(titles.items()))
            for fingerprint, rows in same
        ]
        disliked = (pattern for pattern in patterns if pattern.thumbs_down)
        return sorted(disliked, key=lambda pattern: (-pattern.thumbs_down, pattern.fingerprint))


@implements(ports.ReactionRepository)
class FakeReactionRepository(FakeReactionReader, FakeRepository[FeedbackReaction]):
    """Writes reactions."""

    async def add_many(
        self, entities: Rows[FeedbackReaction], *, progress: Progress | None = None
    ) -> int:
        return await self.add_new(entities, "repo", "comment_id", "reaction_id", progress=progress)

    async def withdraw(self, repo: str, comment_id: int, reaction_id: int) -> bool:
        key = (repo, comment_id, reaction_id)
        return await self._delete(lambda row: _reaction_key(row) == key) > 0

    async def clear(self, repo: str, *, at_most: int | None = None) -> int:
        return await self._delete(lambda row: row["repo"] == repo, at_most=require_at_most(at_most))


def _reaction_key(row: Row) -> tuple[str, int, int]:
    return row["repo"], row["comment_id"], row["reaction_id"]


def _age(row: Row) -> tuple[datetime, int, UUID]:
    return row["reacted_at"] or row["created_at"], row["reaction_id"], row["id"]


async def _counted(reactions: Sequence[Row]) -> Sequence[Row]:
    """Return the newest reaction of each person to each comment."""
    ordered = await sorted_in_slices(reactions, _age)
    newest = {(row["comment_id"], row["reactor_login"]): row for row in ordered}
    return list(newest.values())


def _pattern(fingerprint: str, rows: Sequence[Row]) -> FeedbackPattern:
    newest = max(rows, key=_age)
    disliked = [row for row in rows if row["reaction_content"] == Reaction.THUMBS_DOWN]
    return FeedbackPattern(
        fingerprint=fingerprint,
        title=newest["title"],
        severity=newest["severity"],
        category=newest["category"],
        thumbs_down=len(disliked),
        thumbs_up=len(rows) - len(disliked),
        reactors=len({row["reactor_login"] for row in disliked}),
        pull_requests=len({row["pr_number"] for row in disliked}),
    )


def _trend(day: date, reviews: int, findings: Sequence[Row]) -> TrendDay:
    return TrendDay(
        day=day,
        reviews=reviews,
        findings=len(findings),
        suppressions=_suppressed(findings),
        average_confidence=_confidence(findings),
    )


def _day(row: Row) -> date:
    written: datetime = row["created_at"]
    return written.astimezone(UTC).date()


def _suppressed(findings: Iterable[Row]) -> int:
    return sum(row["suppressed"] for row in findings)


def _confidence(findings: Sequence[Row]) -> float | None:
    return _mean(sum(row["confidence"] for row in findings), len(findings))


def _mean(total: int, count: int) -> float | None:
    return total / count if count else None
