"""Searches that passages and an application's own searchable entities have."""

from __future__ import annotations

from typing import TYPE_CHECKING

from domain import ports
from domain.ports.implementing import implements
from domain.values.scores import Thresholds
from domain.values.search import Distance, Match, Weights
from repositories.common_search.base import ConditionT, E, Searches, WordSearches

if TYPE_CHECKING:
    from domain.values.embedding import VectorLike
    from domain.values.filters import Filter
    from domain.values.reranking import Diversity, Recency
    from domain.values.search import SearchHits


@implements(ports.VectorReader)
class VectorSearches(Searches[E, ConditionT]):
    """Searches entities by vector, and by vector and words."""

    async def vector_search(
        self,
        embedding: VectorLike,
        *,
        limit: int = 10,
        where: Filter | None = None,
        min_score: float | None = None,
        max_distance: float | None = None,
        distance: Distance = Distance.COSINE,
        distinct: bool = False,
    ) -> SearchHits[E]:
        return await self._search_vectors(
            embedding,
            self._condition(where),
            limit=limit,
            metric=distance,
            thresholds=Thresholds(min_score=min_score, max_distance=max_distance),
            distinct=distinct,
        )

    async def hybrid_search(
        self,
        query: str,
        embedding: VectorLike,
        *,
        limit: int = 10,
        where: Filter | None = None,
        weights: Weights | None = None,
        match: Match = Match.ANY,
        diversity: Diversity | None = None,
        recency: Recency | None = None,
        min_score: float | None = None,
        max_distance: float | None = None,
        distinct: bool = False,
    ) -> SearchHits[E]:
        return await self._search_both(
            query,
            embedding,
            self._condition(where),
            limit=limit,
            weights=weights,
            match=match,
            diversity=diversity,
            recency=recency,
            thresholds=Thresholds(min_score=min_score, max_distance=max_distance),
            distinct=distinct,
        )


@implements(ports.SearchableReader)
class KeywordSearches(WordSearches[E, ConditionT]):
    """Searches an application's own searchable entity by words."""

    async def keyword_search(
        self,
        query: str,
        *,
        limit: int = 10,
        where: Filter | None = None,
        match: Match = Match.ANY,
        explain: bool = False,
        min_score: float | None = None,
        distinct: bool = False,
    ) -> SearchHits[E]:
        return await self._search_words(
            query,
            self._condition(where),
            limit=limit,
            match=match,
            explain=explain,
            thresholds=Thresholds(min_score=min_score),
            distinct=distinct,
        )
