"""The primitives of which the searches are composed, as each store implements them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Generic, TypedDict, TypeVar

from domain.values.scores import Thresholds
from domain.values.search import Distance, Match

if TYPE_CHECKING:
    from domain import Vector
    from domain.values.embedding import VectorLike
    from domain.values.filters import Filter
    from domain.values.reranking import Diversity, Recency
    from domain.values.search import SearchHits, Weights

E = TypeVar("E")
ConditionT = TypeVar("ConditionT")
"""The type of the filters of a store: `FilterKey` on PostgreSQL, `Condition` in memory."""


class SearchOptions(TypedDict):
    """Options that the parts of one search share."""

    limit: int
    thresholds: Thresholds
    distinct: bool


class WordSearches(ABC, Generic[E, ConditionT]):
    """Searches entities `E` by words, with conditions of the type `ConditionT`.

    The abstract methods are those of a store: `SearchRepository` on PostgreSQL,
    `FakeWordSearchRepository` and `FakeSearchRepository` in memory. A repository lists the class of
    its store first, as in
    `class FindingReader(SearchRepository[Finding], FindingSearches[FilterKey])`.
    """

    @abstractmethod
    def _condition(self, *conditions: Filter | None) -> ConditionT:
        """Return the condition that a row meets if it meets all filters."""

    @abstractmethod
    async def _search_words(
        self,
        query: str,
        condition: ConditionT,
        /,
        *,
        limit: int,
        match: Match = Match.ANY,
        explain: bool = False,
        thresholds: Thresholds = Thresholds(),
        distinct: bool = False,
    ) -> SearchHits[E]:
        """Return the hits of a keyword search."""


class Searches(WordSearches[E, ConditionT]):
    """Searches entities by vector, by words, and by both."""

    @abstractmethod
    def _query_vector(self, embedding: VectorLike) -> Vector:
        """Return the query vector; it must have the dimension of the database."""

    @abstractmethod
    async def _search_vectors(
        self,
        embedding: VectorLike,
        condition: ConditionT,
        /,
        *,
        limit: int,
        metric: Distance = Distance.COSINE,
        thresholds: Thresholds = Thresholds(),
        distinct: bool = False,
    ) -> SearchHits[E]:
        """Return the hits of a vector search."""

    @abstractmethod
    async def _search_both(
        self,
        query: str,
        embedding: VectorLike,
        condition: ConditionT,
        /,
        *,
        limit: int,
        weights: Weights | None,
        match: Match = Match.ANY,
        diversity: Diversity | None = None,
        recency: Recency | None = None,
        thresholds: Thresholds = Thresholds(),
        distinct: bool = False,
    ) -> SearchHits[E]:
        """Return the hits of a hybrid search."""


class RankedByBoth(Searches[E, ConditionT]):
    """Ranks the rows of one corpus by vector and by words."""

    def query_vector(self, embedding: VectorLike) -> Vector:
        """Return the query vector.

        Raises:
            InvalidEmbedding: it does not have the dimension of the database.
        """
        return self._query_vector(embedding)

    async def ranked(
        self,
        query: str,
        embedding: VectorLike,
        *conditions: Filter | None,
        weights: Weights | None,
        options: SearchOptions,
    ) -> SearchHits[E]:
        """Return the hits of a hybrid search among the rows that meet all conditions."""
        condition = self._condition(*conditions)
        return await self._search_both(query, embedding, condition, weights=weights, **options)


class RankedByWords(WordSearches[E, ConditionT]):
    """Ranks the rows of one corpus by words."""

    async def ranked(
        self, query: str, *conditions: Filter | None, options: SearchOptions
    ) -> SearchHits[E]:
        """Return the hits of a keyword search among the rows that meet all conditions."""
        return await self._search_words(query, self._condition(*conditions), **options)
