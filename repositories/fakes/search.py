"""Searching one kind of entity: nearest by vector, by words, and both fused.

Hits are copies that nobody tracks.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from time import perf_counter
from typing import TYPE_CHECKING, ClassVar, TypeVar
from uuid import UUID

from domain.schema.base import Entity
from domain.values.paging import require_limit
from domain.values.plans import SearchPlan
from domain.values.reranking import Diversity, Recency, maximal_marginal_relevance
from domain.values.search import (
    Distance,
    Match,
    SearchHit,
    SearchHits,
    Weights,
    fused_score,
    keyword_score,
    reciprocal_rank_fusion,
    vector_score,
)
from repositories.fakes.ranking import Found, Searched, best
from repositories.fakes.repository import FakeReadRepository
from repositories.fakes.vectors import distance_between, nearest, query_vector

if TYPE_CHECKING:
    from domain import Vector
    from domain.values.embedding import VectorLike
    from repositories.fakes.checks import Row
    from repositories.fakes.writes import Condition

E = TypeVar("E", bound=Entity)

ARM_DEPTH = 40
MAX_DIVERSE = 400


class SearchesWords(FakeReadRepository[E]):
    """Finds entities by words.

    Terms, stems, stop words and ranking are PostgreSQL's on plain words;
    `repositories.fakes.lexemes` says where its parser goes another way. Needs the package
    snowballstemmer.
    """

    searched: ClassVar[Searched]
    """The columns that are searched."""

    async def _search_words(
        self,
        query: str,
        meets: Condition,
        *,
        limit: int,
        match: Match = Match.ANY,
        explain: bool = False,
    ) -> SearchHits[E]:
        require_limit(limit)
        async with self._searching():
            found = self._best(query, meets, limit=limit, match=match)
        return SearchHits(
            tuple(
                self._keyword_hit(hit, rank, explain=explain)
                for rank, hit in enumerate(found, start=1)
            )
        )

    @asynccontextmanager
    async def _searching(self) -> AsyncIterator[None]:
        """Note the plan of what is searched inside, where plans are collected.

        Every row of the tenant is compared.
        """
        async with self._transaction.statement():
            began = perf_counter()
            yield
            if self._transaction.plans is not None:
                rows = len(self._transaction.select(self._table))
                took = (perf_counter() - began) * 1_000
                plan = SearchPlan(
                    searched=self._table.name,
                    indexes=(),
                    rows_examined=rows,
                    milliseconds=took,
                    exact=True,
                )
                self._transaction.plans.append(plan)

    def _best(self, query: str, meets: Condition, *, limit: int, match: Match) -> Sequence[Found]:
        # How common a word is depends on every tenant's rows, as the server's statistics do.
        everything = self._transaction.layers.all(self._table.name).values()
        mine = self._transaction.select(self._table, meets)
        return best(query, mine, everything, self.searched, limit=limit, match=match)

    def _keyword_hit(self, found: Found, rank: int, *, explain: bool) -> SearchHit[E]:
        score = keyword_score(found.relevance)
        terms = found.terms if explain else ()
        return SearchHit(
            item=self._copy(found.row),
            score=score,
            keyword_score=score,
            keyword_rank=rank,
            matched_terms=terms,
        )


class SearchesBoth(SearchesWords[E]):
    """Finds entities by vector, by words, and by both."""

    async def _search_vectors(
        self,
        embedding: VectorLike,
        meets: Condition,
        *,
        limit: int,
        metric: Distance = Distance.COSINE,
        max_distance: float | None = None,
    ) -> SearchHits[E]:
        query = self._query_vector(embedding)
        require_limit(limit)
        async with self._searching():
            rows = self._transaction.select(self._table, meets)
            found = nearest(rows, query, metric, limit=limit, max_distance=max_distance)
        return self._vector_hits(found, metric)

    def _vector_hits(self, found: Sequence[tuple[Row, float]], metric: Distance) -> SearchHits[E]:
        hits = (
            SearchHit(
                item=self._copy(row),
                score=vector_score(distance, metric),
                distance=distance,
                vector_rank=rank,
            )
            for rank, (row, distance) in enumerate(found, start=1)
        )
        return SearchHits(tuple(hits))

    async def _search_both(
        self,
        query: str,
        embedding: VectorLike,
        meets: Condition,
        *,
        limit: int,
        weights: Weights,
        match: Match,
        diversity: Diversity | None = None,
        recency: Recency | None = None,
    ) -> SearchHits[E]:
        vector = self._query_vector(embedding)
        depth = max(ARM_DEPTH, 4 * require_limit(limit))
        async with self._searching():
            near = nearest(
                self._transaction.select(self._table, meets), vector, Distance.COSINE, limit=depth
            )
            words = self._best(query, meets, limit=depth, match=match)
        rows = {
            row["id"]: row for row in (*(row for row, _ in near), *(found.row for found in words))
        }
        hits = self._fused(rows, near, words, weights)
        if recency is not None:
            weighed = [
                replace(hit, score=hit.score * recency.weight(self._age(rows[_id(hit)])))
                for hit in hits
            ]
            hits = sorted(weighed, key=lambda hit: (-hit.score, _id(hit)))
        if diversity is not None:
            hits = _diverse(hits[: max(limit, min(depth, MAX_DIVERSE))], rows, diversity, limit)
        return SearchHits(tuple(hits[:limit]))

    def _age(self, row: Row) -> timedelta:
        moment: datetime = row["updated_at"] if "updated_at" in row else row["created_at"]
        return self._transaction.now - moment

    def _fused(
        self,
        rows: Mapping[UUID, Row],
        near: Sequence[tuple[Row, float]],
        words: Sequence[Found],
        weights: Weights,
    ) -> list[SearchHit[E]]:
        shares = (weights.vector, weights.keyword)
        by_vector = {
            row["id"]: (rank, distance) for rank, (row, distance) in enumerate(near, start=1)
        }
        keyword_statement = {
            found.row["id"]: (rank, keyword_score(found.relevance))
            for rank, found in enumerate(words, start=1)
        }
        scores = reciprocal_rank_fusion([list(by_vector), list(keyword_statement)], shares)

        def hit(key: UUID) -> SearchHit[E]:
            vector_rank, distance = by_vector.get(key, (None, None))
            keyword_rank, score = keyword_statement.get(key, (None, None))
            return SearchHit(
                item=self._copy(rows[key]),
                score=fused_score(scores[key], shares),
                distance=distance,
                vector_rank=vector_rank,
                keyword_score=score,
                keyword_rank=keyword_rank,
            )

        return [hit(key) for key in sorted(scores, key=lambda key: (-scores[key], key))]

    def _query_vector(self, embedding: VectorLike) -> Vector:
        return query_vector(embedding, self._transaction.state.dimensions)


def _id(hit: SearchHit[E]) -> UUID:
    key: UUID = vars(hit.item)["id"]
    return key


def _diverse(
    hits: Sequence[SearchHit[E]], rows: Mapping[UUID, Row], diversity: Diversity, limit: int
) -> list[SearchHit[E]]:
    embeddings = [rows[_id(hit)]["embedding"] for hit in hits]

    def similarity(one: int, other: int) -> float:
        if embeddings[one] is None or embeddings[other] is None:
            return 0.0
        return 1.0 - distance_between(embeddings[one], embeddings[other], Distance.COSINE)

    scores = [hit.score for hit in hits]
    return [
        hits[place]
        for place in maximal_marginal_relevance(
            scores, similarity, limit=limit, lambda_=diversity.lambda_
        )
    ]
