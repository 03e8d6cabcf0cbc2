"""Search over knowledge, memories and findings, combined into one ranking."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic
from uuid import UUID

from domain import ports
from domain.ports.implementing import implements
from domain.values import filters
from domain.values.corpora import fuse_corpora
from domain.values.paging import require_limit
from domain.values.scores import Thresholds
from domain.values.search import Corpus, SearchHits, Weights, arm_depth
from repositories.common_search.base import ConditionT, RankedByBoth, RankedByWords, SearchOptions

if TYPE_CHECKING:
    from domain.entities.knowledge import KnowledgeChunk
    from domain.entities.learning import LearningMemory
    from domain.entities.reviews import Finding
    from domain.results import Remembered
    from domain.values.embedding import VectorLike
    from domain.values.filters import Filter


@implements(ports.FederatedSearch)
class CorporaSearch(ABC, Generic[ConditionT]):
    """Searches knowledge, memories and findings in one call."""

    def __init__(
        self,
        knowledge: RankedByBoth[KnowledgeChunk, ConditionT],
        memories: RankedByBoth[LearningMemory, ConditionT],
        findings: RankedByWords[Finding, ConditionT],
    ) -> None:
        self._knowledge = knowledge
        self._memories = memories
        self._findings = findings

    async def search(
        self,
        query: str,
        embedding: VectorLike,
        *,
        repo: str | None = None,
        limit: int = 10,
        corpora: Collection[Corpus] = tuple(Corpus),
        where: Filter | None = None,
        weights: Weights | None = None,
        min_score: float | None = None,
        max_distance: float | None = None,
        distinct: bool = True,
    ) -> SearchHits[Remembered]:
        vector = self._knowledge.query_vector(embedding)
        options = SearchOptions(
            limit=arm_depth(require_limit(limit)),
            thresholds=Thresholds(min_score=min_score, max_distance=max_distance),
            distinct=distinct,
        )
        if not query.strip():
            return SearchHits()
        of_repo = None if repo is None else filters.where("repo").equals(repo)
        rankings: dict[Corpus, SearchHits[Any]] = {}
        if Corpus.KNOWLEDGE in corpora:
            of_repo_or_none = None if repo is None else filters.where("repo").one_of(("", repo))
            rankings[Corpus.KNOWLEDGE] = await self._knowledge.ranked(
                query, vector, of_repo_or_none, where, weights=weights, options=options
            )
        if Corpus.MEMORIES in corpora:
            live = filters.where("stale").equals(value=False)
            rankings[Corpus.MEMORIES] = await self._memories.ranked(
                query, vector, live, of_repo, where, weights=weights, options=options
            )
        if Corpus.FINDINGS in corpora:
            rankings[Corpus.FINDINGS] = await self._findings.ranked(
                query, of_repo, where, options=options
            )
        duplicates = await self._near_duplicates(rankings) if distinct else {}
        return await self._fuse(rankings, duplicates, limit=limit, distinct=distinct)

    @abstractmethod
    async def _near_duplicates(
        self, rankings: Mapping[Corpus, SearchHits[Any]]
    ) -> dict[UUID, list[UUID]]:
        """Return the ids of other hits whose embeddings are nearly the same, by id."""

    async def _fuse(
        self,
        rankings: Mapping[Corpus, SearchHits[Any]],
        duplicates: Mapping[UUID, Sequence[UUID]],
        *,
        limit: int,
        distinct: bool,
    ) -> SearchHits[Remembered]:
        return fuse_corpora(rankings, duplicates, limit=limit, distinct=distinct)
