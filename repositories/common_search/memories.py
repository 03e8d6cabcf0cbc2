"""Searches of learning memories, and their recall for a reviewer."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING

from domain import ports
from domain.entities.learning import LearningMemory
from domain.ports.implementing import implements
from domain.results import Recall, merge_recall
from domain.values.paging import require_limit
from domain.values.recall import live_memories
from domain.values.scores import Thresholds
from domain.values.search import Match, SearchHits, Weights
from domain.values.text_hash import text_hash
from repositories.common_search.base import ConditionT, Searches, SearchOptions

if TYPE_CHECKING:
    from domain.values.embedding import VectorLike
    from domain.values.filters import Filter
    from domain.values.reranking import Diversity, Recency


@implements(ports.MemoryReader)
class MemorySearches(Searches[LearningMemory, ConditionT]):
    """Searches the live memories of repositories and of their owners."""

    @abstractmethod
    async def _shared(
        self,
        embedding: VectorLike,
        owner: str,
        repo: str,
        where: Filter | None,
        *,
        limit: int,
        thresholds: Thresholds,
        distinct: bool,
        excluded_texts: Sequence[bytes] = (),
    ) -> SearchHits[LearningMemory]:
        """Return the nearest memories of the owner's other repositories."""

    @abstractmethod
    async def _owner_repos(self, owner: str, repo: str) -> Sequence[str]:
        """Return the owner's other repositories with most live memories."""

    async def nearest(
        self,
        embedding: VectorLike,
        *,
        repo: str,
        limit: int = 10,
        where: Filter | None = None,
        min_score: float | None = None,
        max_distance: float | None = None,
        distinct: bool = False,
    ) -> SearchHits[LearningMemory]:
        return await self._search_vectors(
            embedding,
            self._condition(live_memories(repo), where),
            limit=limit,
            thresholds=Thresholds(min_score=min_score, max_distance=max_distance),
            distinct=distinct,
        )

    async def nearest_for_owner(
        self,
        embedding: VectorLike,
        *,
        owner: str,
        exclude_repo: str,
        limit: int = 10,
        where: Filter | None = None,
        min_score: float | None = None,
        max_distance: float | None = None,
        distinct: bool = False,
    ) -> SearchHits[LearningMemory]:
        thresholds = Thresholds(min_score=min_score, max_distance=max_distance)
        return await self._shared(
            embedding,
            owner,
            exclude_repo,
            where,
            limit=limit,
            thresholds=thresholds,
            distinct=distinct,
        )

    async def keyword_search(
        self,
        query: str,
        *,
        repo: str,
        limit: int = 10,
        where: Filter | None = None,
        match: Match = Match.ANY,
        explain: bool = False,
        min_score: float | None = None,
        distinct: bool = False,
    ) -> SearchHits[LearningMemory]:
        return await self._search_words(
            query,
            self._condition(live_memories(repo), where),
            limit=limit,
            match=match,
            explain=explain,
            thresholds=Thresholds(min_score=min_score),
            distinct=distinct,
        )

    async def hybrid_search(
        self,
        query: str,
        embedding: VectorLike,
        *,
        repo: str,
        limit: int = 10,
        where: Filter | None = None,
        weights: Weights | None = None,
        match: Match = Match.ANY,
        diversity: Diversity | None = None,
        recency: Recency | None = None,
        min_score: float | None = None,
        max_distance: float | None = None,
        distinct: bool = False,
    ) -> SearchHits[LearningMemory]:
        thresholds = Thresholds(min_score=min_score, max_distance=max_distance)
        self._query_vector(embedding)
        require_limit(limit)
        if not query.strip():
            return SearchHits()
        return await self._search_both(
            query,
            embedding,
            self._condition(live_memories(repo), where),
            limit=limit,
            weights=weights,
            match=match,
            diversity=diversity,
            recency=recency,
            thresholds=thresholds,
            distinct=distinct,
        )

    async def recall(
        self,
        embedding: VectorLike,
        text: str,
        *,
        repo: str,
        owner: str,
        limit: int = 10,
        where: Filter | None = None,
        weights: Weights | None = None,
        min_score: float | None = None,
        max_distance: float | None = None,
        distinct: bool = True,
        shared: bool = True,
        one_ranking: bool = False,
    ) -> Recall:
        vector = self._query_vector(embedding)
        options = SearchOptions(
            limit=require_limit(limit),
            thresholds=Thresholds(min_score=min_score, max_distance=max_distance),
            distinct=distinct,
        )
        repos = [repo]
        if shared and one_ranking:
            repos += await self._owner_repos(owner, repo)
        live = self._condition(live_memories(*repos), where)
        if text.strip():
            own = await self._search_both(text, vector, live, weights=weights, **options)
        else:
            own = await self._search_vectors(vector, live, **options)
        others: SearchHits[LearningMemory] = SearchHits()
        if shared and not one_ranking:
            texts = {text_hash(hit.item.finding_text) for hit in own} if distinct else ()
            others = await self._shared(
                vector, owner, repo, where, excluded_texts=sorted(texts), **options
            )
        return merge_recall(own, others, repo=repo, owner=owner, limit=limit)
