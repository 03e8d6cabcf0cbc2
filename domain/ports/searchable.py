"""Searches of an application's own searchable entity."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol, TypeVar

from domain.ports.repository import ReadRepository, Repository
from domain.values.search import Distance, Match, Weights

if TYPE_CHECKING:
    from domain.values.embedding import VectorLike
    from domain.values.filters import Filter
    from domain.values.reranking import Diversity, Recency
    from domain.values.search import SearchHits

E = TypeVar("E")
E_co = TypeVar("E_co", covariant=True)


class SearchableEntity(Protocol):
    """An entity that derives from `Searchable`."""

    @classmethod
    def search_weights(cls) -> Mapping[str, str]:
        """Return the searched columns, with the weight A (most) to D of each."""
        ...


class SearchableReader(ReadRepository[E_co], Protocol[E_co]):
    """Reads and searches a searchable entity, as `KnowledgeReader` searches knowledge."""

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
    ) -> SearchHits[E_co]:
        """Return the nearest entities; see `KnowledgeReader.vector_search`."""
        ...

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
    ) -> SearchHits[E_co]:
        """Return the entities that match the words best; see `KnowledgeReader.keyword_search`."""
        ...

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
    ) -> SearchHits[E_co]:
        """Return the best entities by vector and words; see `KnowledgeReader.hybrid_search`."""
        ...


class SearchableRepository(SearchableReader[E], Repository[E], Protocol[E]):
    """Reads, searches and writes a searchable entity."""
