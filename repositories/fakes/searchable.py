"""Searches that passages and an application's own searchable entities have, in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from domain import ports
from domain.ports.implementing import implements
from domain.schema.base import Entity
from domain.values.search import Distance, Match, Thresholds, Weights
from repositories.fakes.filters import meeting
from repositories.fakes.search import SearchesBoth

if TYPE_CHECKING:
    from domain.values.embedding import VectorLike
    from domain.values.filters import Filter
    from domain.values.reranking import Diversity, Recency
    from domain.values.search import SearchHits
    from repositories.fakes.transaction import Transaction

E = TypeVar("E", bound=Entity)


@implements(ports.VectorReader)
class FakeVectorReader(SearchesBoth[E]):
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
            meeting(self._entity, where),
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
            meeting(self._entity, where),
            limit=limit,
            weights=weights,
            match=match,
            diversity=diversity,
            recency=recency,
            thresholds=Thresholds(min_score=min_score, max_distance=max_distance),
            distinct=distinct,
        )


@implements(ports.SearchableReader)
class FakeSearchableReader(FakeVectorReader[E]):
    """Reads and searches a searchable entity."""

    def __init__(self, transaction: Transaction, entity: type[E]) -> None:
        super().__init__(transaction, entity)
        weights: Any = entity
        self.searched = tuple(weights.search_weights().items())
        self.text = weights.search_text()

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
            meeting(self._entity, where),
            limit=limit,
            match=match,
            explain=explain,
            thresholds=Thresholds(min_score=min_score),
            distinct=distinct,
        )
