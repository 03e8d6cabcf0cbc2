"""The application's operations.

This module imports the domain and its ports, and no repository, driver or web framework.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol, TypeVar
from uuid import UUID

from domain import (
    Embedder,
    FeedbackReaction,
    Finding,
    InvalidInput,
    LearningMemory,
    Outcome,
    Reaction,
    ReadUnitOfWork,
    Recall,
    RepoStats,
    Review,
    SearchHits,
    TrendDay,
    UnitOfWork,
    where,
)

T = TypeVar("T")

OUTCOMES: Final = {Reaction.THUMBS_UP: Outcome.THUMBS_UP, Reaction.THUMBS_DOWN: Outcome.THUMBS_DOWN}


class Memory(Protocol):
    """A database: `repositories.Database`, or `repositories.FakeDatabase` in unit tests."""

    def unit_of_work(self, *, tenant: str) -> UnitOfWork: ...

    def reader(self, *, tenant: str) -> ReadUnitOfWork: ...

    async def run(self, work: Callable[[UnitOfWork], Awaitable[T]], *, tenant: str) -> T:
        """Run `work` in a unit of work and commit.

        Run it again if the error has `safe_to_retry`.
        """
        ...


class ReviewUnderWay(Exception):
    """Another head of the pull request is being recorded. The caller can try again."""

    def __init__(self) -> None:
        super().__init__("another review of this pull request is being recorded; try again")


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """A webhook delivery that requests the review of a head of a pull request."""

    base_sha: str
    head_sha: str
    delivery_id: str
    action: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """The recorded review of a head. `is_new` is true if this call recorded it."""

    review_id: UUID
    finding_ids: Sequence[UUID]
    is_new: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Opinion:
    """A person's reaction to the comment of a finding.

    `comment_id` is needed only if the finding has none.
    """

    reaction: Reaction
    login: str
    reaction_id: int
    comment_id: int | None = None
    comment_surface: str = "inline"


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedbackResult:
    """Whether an opinion was counted and learned from. A repeated opinion is neither."""

    is_counted: bool
    is_learned: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Similar:
    """Similar memories with their provenance, and findings of the repository."""

    recall: Recall
    findings: SearchHits[Finding]


class ReviewService:
    """One tenant's reviews.

    Each method is one unit of work or one reader. Calling one again with the same arguments does
    nothing twice, so a caller who lost the answer may simply ask again.
    """

    def __init__(self, memory: Memory, embedder: Embedder, *, tenant: str) -> None:
        self._memory = memory
        self._embedder = embedder
        self._tenant = tenant

    async def record(
        self, review: Review, findings: Sequence[Finding], delivery: Delivery
    ) -> Recorded:
        """Record a review and its findings, all or none.

        If the head is recorded already, return the recorded review.

        Raises:
            ReviewUnderWay: another head of the pull request is being recorded.
        """

        async def work(uow: UnitOfWork) -> Recorded:
            claim = await uow.runs.claim(
                review.repo,
                review.pr_number,
                base_sha=delivery.base_sha,
                head_sha=delivery.head_sha,
                delivery_id=delivery.delivery_id,
                action=delivery.action,
            )
            if not claim.claimed:
                return await _recorded_before(uow, review.repo, review.pr_number, delivery.head_sha)
            await uow.reviews.add_many([review])
            await uow.findings.add_many(findings)
            await uow.runs.complete(claim.run_key, claim.attempt)
            return Recorded(
                review_id=review.id, finding_ids=[finding.id for finding in findings], is_new=True
            )

        return await self._memory.run(work, tenant=self._tenant)

    async def record_feedback(self, finding_id: UUID, opinion: Opinion) -> FeedbackResult:
        """Record a person's opinion of a finding, and learn from the first of its kind.

        Raises:
            NotFound: no such finding.
            InvalidInput: neither the opinion nor the finding names a comment.
        """
        outcome = OUTCOMES[opinion.reaction]
        async with self._memory.reader(tenant=self._tenant) as view:
            finding = await view.findings.get(finding_id)
            is_known = await view.memories.exists_for(finding.repo, finding.id, outcome)
        reaction = _reaction(finding, opinion)
        # The embedding model may take seconds, so no unit of work is open.
        memory = None if is_known else await self._learn(finding, outcome)

        async def work(uow: UnitOfWork) -> FeedbackResult:
            is_counted = await uow.reactions.add_many([reaction]) == 1
            is_learned = memory is not None and await uow.memories.write(memory)
            return FeedbackResult(is_counted=is_counted, is_learned=is_learned)

        return await self._memory.run(work, tenant=self._tenant)

    async def similar(self, repo: str, text: str, *, limit: int) -> Similar:
        """Return similar memories of the owner's repositories, and findings with the same words."""
        [embedding] = await self._embedder.embed([text])
        async with self._memory.reader(tenant=self._tenant) as view:
            recall = await view.memories.recall(
                embedding, text, repo=repo, owner=_owner(repo), limit=limit
            )
            findings = await view.findings.keyword_search(text, repo=repo, limit=limit)
        return Similar(recall=recall, findings=findings)

    async def search_findings(self, repo: str, text: str, *, limit: int) -> SearchHits[Finding]:
        """Return the findings of the repository whose titles contain words of the text."""
        async with self._memory.reader(tenant=self._tenant) as view:
            return await view.findings.keyword_search(text, repo=repo, limit=limit)

    async def stats(self, repo: str, *, since: datetime | None = None) -> RepoStats:
        """Return the repository's figures."""
        async with self._memory.reader(tenant=self._tenant) as view:
            return await view.reviews.stats(repo, since=since)

    async def trends(self, repo: str, *, days: int) -> Sequence[TrendDay]:
        """Return the repository's last days, today included, oldest first."""
        async with self._memory.reader(tenant=self._tenant) as view:
            return await view.reviews.trends(repo, days=days)

    async def _learn(self, finding: Finding, outcome: Outcome) -> LearningMemory:
        [embedding] = await self._embedder.embed([finding.title])
        return LearningMemory(
            repo=finding.repo,
            owner=_owner(finding.repo),
            source_repo=finding.repo,
            finding_id=finding.id,
            review_id=finding.review_id,
            finding_text=finding.title,
            severity=finding.severity,
            category=finding.category,
            file_path=finding.file_path,
            outcome=outcome,
            embedding_model=self._embedder.model,
            embedding=embedding,
        )


async def _recorded_before(uow: UnitOfWork, repo: str, pr_number: int, head_sha: str) -> Recorded:
    of_head = (
        where("repo").equals(repo)
        & where("pr_number").equals(pr_number)
        & where("head_sha").equals(head_sha)
    )
    newest = await uow.reviews.list(of_head, limit=1, descending=True)
    if not newest:
        raise ReviewUnderWay
    findings = uow.findings.stream(where("review_id").equals(newest[0].id))
    return Recorded(
        review_id=newest[0].id, finding_ids=[finding.id async for finding in findings], is_new=False
    )


def _reaction(finding: Finding, opinion: Opinion) -> FeedbackReaction:
    comment_id = finding.comment_id if opinion.comment_id is None else opinion.comment_id
    if comment_id is None:
        raise InvalidInput(
            "the finding was not posted: pass the comment that the reaction belongs to",
            field="comment_id",
        )
    return FeedbackReaction(
        repo=finding.repo,
        review_id=finding.review_id,
        finding_id=finding.id,
        comment_id=comment_id,
        comment_surface=opinion.comment_surface,
        reaction_id=opinion.reaction_id,
        reaction_content=opinion.reaction,
        reactor_login=opinion.login,
        severity=finding.severity,
        category=finding.category,
        file_path=finding.file_path,
        title=finding.title,
    )


def _owner(repo: str) -> str:
    return repo.partition("/")[0]
