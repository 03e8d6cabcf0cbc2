"""The primitives of which the searches are composed, as each store implements them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from domain import Vector
    from domain.values.embedding import VectorLike
    from domain.values.filters import Filter
    from domain.values.reranking import Diversity, Recency
    from domain.values.search import (
        Distance,
        Match,
        SearchHits,
        SearchOptions,
        Thresholds,
        Weights,
    )

E = TypeVar("E")
C = TypeVar("C")


class Searches(Generic[E, C]):
    """Searches entities `E` with conditions of the type `C`.

    List a class of the store, which implements the primitives, before the classes that derive from
    this one.
    """

    if TYPE_CHECKING:

        def _condition(self, *conditions: Filter | None) -> C:
            """Return the condition that a row meets if it meets all filters."""
            ...

        def _query_vector(self, embedding: VectorLike) -> Vector:
            """Return the query vector; it must have the dimension of the database."""
            ...

        async def _search_vectors(
            self,
            embedding: VectorLike,
            condition: C,
            /,
            *,
            limit: int,
            metric: Distance = ...,
            thresholds: Thresholds = ...,
            distinct: bool = ...,
        ) -> SearchHits[E]: ...

        async def _search_words(
            self,
            query: str,
            condition: C,
            /,
            *,
            limit: int,
            match: Match = ...,
            explain: bool = ...,
            thresholds: Thresholds = ...,
            distinct: bool = ...,
        ) -> SearchHits[E]: ...

        async def _search_both(
            self,
            query: str,
            embedding: VectorLike,
            condition: C,
            /,
            *,
            limit: int,
            weights: Weights | None,
            match: Match = ...,
            diversity: Diversity | None = ...,
            recency: Recency | None = ...,
            thresholds: Thresholds = ...,
            distinct: bool = ...,
        ) -> SearchHits[E]: ...


class RankedByBoth(Searches[E, C]):
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


class RankedByWords(Searches[E, C]):
    """Ranks the rows of one corpus by words."""

    async def ranked(
        self, query: str, *conditions: Filter | None, options: SearchOptions
    ) -> SearchHits[E]:
        """Return the hits of a keyword search among the rows that meet all conditions."""
        return await self._search_words(query, self._condition(*conditions), **options)
