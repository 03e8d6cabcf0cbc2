"""Reviews, findings, suppressions and people's reactions."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Protocol
from uuid import UUID

from domain.entities.reviews import FeedbackReaction, Finding, Review
from domain.ports.repository import Progress, ReadRepository, Repository, Rows
from domain.values.paging import DEFAULT_LIMIT
from domain.values.search import Match

if TYPE_CHECKING:
    from domain.results import PriorFinding
    from domain.values.filters import Filter
    from domain.values.insights import FeedbackPattern, RepoStats, TrendDay
    from domain.values.search import SearchHits


class ReviewReader(ReadRepository[Review], Protocol):
    """Reads reviews and their figures."""

    async def stats(self, repo: str, *, since: datetime | None = None) -> RepoStats:
        """Return the figures of the repository's reviews and of their findings.

        Args:
            repo: repository, as owner/name.
            since: only reviews written at this time or later.

        Raises:
            InvalidInput: `since` has no time zone.
        """
        ...

    async def trends(self, repo: str, *, days: int) -> Sequence[TrendDay]:
        """Return the figures of the last `days` UTC days, oldest first.

        The days include today. A day without a review has zeros. Findings count on the day that
        their review was written.

        Args:
            repo: repository, as owner/name.
            days: number of days, 1 to 3,650.

        Raises:
            InvalidInput: `days` is not between 1 and 3,650.
        """
        ...


class ReviewRepository(ReviewReader, Repository[Review], Protocol):
    """Writes reviews."""


class FindingReader(ReadRepository[Finding], Protocol):
    """Finds findings by comment, by run and by words."""

    async def recent_comment_candidates(
        self, repo: str, *, limit: int = DEFAULT_LIMIT
    ) -> Sequence[Finding]:
        """Return the newest findings that have a comment id, a surface and an output key.

        The order is by `created_at`, newest first, ties by id ascending.

        Args:
            repo: repository, as owner/name.
            limit: largest number of findings, 1 to 10,000.

        Raises:
            InvalidInput: `limit` is out of range.
        """
        ...

    async def find_by_comment(self, repo: str, comment_id: int) -> Finding | None:
        """Return the newest finding of the comment, or None.

        The newest has the latest `created_at`; of equal ones, the lowest id.

        Args:
            repo: repository, as owner/name.
            comment_id: id of the comment at the code host.
        """
        ...

    async def prior(
        self, repo: str, pr_number: int, *, limit: int = DEFAULT_LIMIT
    ) -> Sequence[PriorFinding]:
        """Return the unsuppressed findings on the head that was reviewed last, by id.

        The head is `runs.last_reviewed_head`. The findings are those of the reviews of this
        repository, pull request and head. Without a completed run there are none.

        Args:
            repo: repository, as owner/name.
            pr_number: number of the pull request.
            limit: largest number of findings, 1 to 10,000.

        Raises:
            InvalidInput: `limit` is out of range.
        """
        ...

    async def keyword_search(
        self,
        query: str,
        *,
        repo: str | None = None,
        limit: int = 10,
        where: Filter | None = None,
        match: Match = Match.ANY,
        explain: bool = False,
        min_score: float | None = None,
        distinct: bool = False,
    ) -> SearchHits[Finding]:
        """Return the findings whose titles best match the words, of one repository or of all.

        A blank query returns no hits. `min_score` and `distinct` are those of
        `KnowledgeReader.keyword_search`.

        Args:
            query: words.
            repo: repository, as owner/name; None for all.
            limit: largest number of hits, 1 to 10,000.
            where: condition on the findings.
            match: how many of the words a title must contain.
            explain: whether to fill `matched_terms` of the hits.
            min_score: least score of a hit.
            distinct: whether to return only the best finding of each title.

        Raises:
            InvalidFilter: `where` does not fit the entity.
            InvalidInput: `limit` or a threshold is not a number in its range.
        """
        ...


class FindingRepository(FindingReader, Repository[Finding], Protocol):
    """Writes findings."""

    async def delete_of_review(self, review_id: UUID, *, at_most: int | None = None) -> int:
        """Delete the findings of a review with their reactions, and return how many findings.

        `Database.delete_review` deletes a review of any size in many units of work.

        Args:
            review_id: the id of the review.
            at_most: largest number of findings to delete, lowest ids first; None for all.

        Raises:
            InvalidInput: `review_id` is not a UUID, or `at_most` is not between 1 and a million.
        """
        ...


class ReactionReader(ReadRepository[FeedbackReaction], Protocol):
    """Reads reactions and the patterns in them."""

    async def patterns(self, repo: str) -> Sequence[FeedbackPattern]:
        """Return the kinds of findings that people disliked at least once.

        If a person reacted to one comment several times, the newest reaction counts. A reaction is
        newer if its time is later (`reacted_at`, or `created_at` if it has none), and of equal
        times if its `reaction_id` is higher. The patterns with most thumbs-down come first, equal
        ones by fingerprint.

        Args:
            repo: repository, as owner/name.
        """
        ...


class ReactionRepository(ReactionReader, Repository[FeedbackReaction], Protocol):
    """Writes reactions. `add_many` ignores reactions that exist."""

    async def add_many(
        self, entities: Rows[FeedbackReaction], *, progress: Progress | None = None
    ) -> int:
        """Write the new reactions and return how many were new.

        A reaction is new if no row has its `(repo, comment_id, reaction_id)`. If a call has the
        same reaction twice, the first is written.

        Args:
            entities: reactions, in memory or from an iterator, which can be asynchronous.
            progress: called after each batch with the number of rows sent so far. An exception that
                it raises aborts the unit of work.

        Raises:
            ReferenceViolated: this tenant has no such review or finding; nothing was written.
        """
        ...

    async def withdraw(self, repo: str, comment_id: int, reaction_id: int) -> bool:
        """Delete a reaction that its author withdrew; return whether it existed.

        If the person has older reactions to the comment, the newest of them counts again.

        Args:
            repo: repository, as owner/name.
            comment_id: comment that was reacted to.
            reaction_id: number of the reaction at the code host.
        """
        ...

    async def clear(self, repo: str, *, at_most: int | None = None) -> int:
        """Delete the reactions of a repository, or the first `at_most`, and return how many.

        `Database.clear_reactions` deletes any number in many units of work.

        Args:
            repo: repository, as owner/name.
            at_most: largest number of reactions to delete, lowest ids first; None for all.

        Raises:
            InvalidInput: `at_most` is not between 1 and a million.
        """
        ...
