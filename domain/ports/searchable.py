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


class VectorReader(ReadRepository[E_co], Protocol[E_co]):
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
    ) -> SearchHits[E_co]:
        """Return the nearest entities: `limit` of them if as many qualify.

        Args:
            embedding: the query vector.
            limit: largest number of hits, 1 to 10,000. Up to 100, the first n hits of a larger
                limit are the hits of limit n.
            where: only entities that meet this filter.
            min_score: only entities with at least this score.
            max_distance: only entities at most this far from the query vector.
            distance: how distances are measured.
            distinct: only the nearest entity of each text. Texts are the same if they differ in
                case and white space only. `SearchHits.bound_reached` says if copies hid further
                texts.

        Raises:
            InvalidEmbedding: not finite, all zeros, or not of the database's dimension.
            InvalidFilter: `where` does not fit the entity.
            InvalidInput: `limit` or a threshold is not a number in its range.
        """
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
        """Return the nearest and the best matching entities, fused by their scores in both arms.

        The search takes one round trip. Each arm, by vector and by words, ranks its best 100 rows,
        or `limit` rows if that is more.

        Args:
            query: the words.
            embedding: the query vector.
            limit: largest number of hits, 1 to 10,000. Up to 100, the first n hits of a larger
                limit are the hits of limit n. With `diversity`, at most 100.
            where: only entities that meet this filter, in both arms.
            weights: how much each arm counts; by default as the setting `vector_weight` says.
            match: how many of the words an entity in the keyword arm must contain.
            diversity: choose among the best 100 entities those that are unlike each other. The hits
                come in the order of the choice, with the same scores.
            recency: multiply each fused score by the weight of the entity's age, before the limit.
            min_score: the least score in each arm: `vector_score` of the distance, and the keyword
                score. An entity that one arm leaves out can still be in the other.
            max_distance: the largest distance in the vector arm.
            distinct: only one entity of each text, as in `vector_search`.

        Raises:
            InvalidEmbedding: not finite, all zeros, or not of the database's dimension.
            InvalidFilter: `where` does not fit the entity.
            InvalidInput: `limit` or a threshold is not a number in its range.
        """
        ...


class SearchableReader(VectorReader[E_co], Protocol[E_co]):
    """Reads and searches a searchable entity, as `KnowledgeReader` searches knowledge."""

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
        """Return the entities that match the words best; see `KnowledgeReader.keyword_search`.

        Args:
            query: words.
            limit: largest number of hits, 1 to 10,000.
            where: condition on the entities.
            match: how many of the words an entity must contain.
            explain: whether to fill `matched_terms` of the hits.
            min_score: least score of a hit.
            distinct: whether to return only the best entity of each text.

        Raises:
            InvalidFilter: `where` does not fit the entity.
            InvalidInput: `limit` or a threshold is not a number in its range.
        """
        ...


class SearchableRepository(SearchableReader[E], Repository[E], Protocol[E]):
    """Reads, searches and writes a searchable entity."""
