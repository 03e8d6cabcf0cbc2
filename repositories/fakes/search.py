"""Searches of one kind of entity by vector, by words, and by both. Hits are untracked copies."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from time import perf_counter
from typing import TYPE_CHECKING, TypeVar
from uuid import UUID

from domain.schema.base import Entity
from domain.values.embedding import query_vector
from domain.values.fusion import arm_shares, fused_score
from domain.values.paging import require_limit
from domain.values.plans import SearchPlan
from domain.values.reranking import (
    Diversity,
    Recency,
    diverse_depth,
    maximal_marginal_relevance,
)
from domain.values.scores import Thresholds, keyword_score, vector_score
from domain.values.search import Distance, Match, SearchHit, SearchHits, Weights, arm_depth
from domain.values.text_hash import text_hash
from domain.values.turns import VALUES_PER_TURN, slices, sorted_in_slices
from repositories.fakes.ranking import KeywordMatch, Searched, best
from repositories.fakes.repository import FakeReadRepository
from repositories.fakes.vectors import distance_between, nearest
from repositories.fakes.writes import only

if TYPE_CHECKING:
    from domain import Vector
    from domain.values.embedding import VectorLike
    from repositories.fakes.checks import Row
    from repositories.fakes.writes import Condition

E = TypeVar("E", bound=Entity)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Ranked:
    """A row of an arm: its rank, its score or distance, and what it adds to the fused score."""

    row: Row
    rank: int
    score: float
    share: float


class FakeWordSearchRepository(FakeReadRepository[E]):
    """Searches entities by words.

    Terms, stems, stop words and ranking are PostgreSQL's on plain words. The differences of the
    parsers are in `repositories.fakes.lexemes`. Needs the package snowballstemmer.
    """

    searched: Searched
    """The columns that are searched."""

    text: str
    """The column whose text tells rows apart in a distinct search."""

    async def _search_words(
        self,
        query: str,
        meets: Condition,
        *,
        limit: int,
        match: Match = Match.ANY,
        explain: bool = False,
        thresholds: Thresholds = Thresholds(),
        distinct: bool = False,
    ) -> SearchHits[E]:
        require_limit(limit)
        async with self._searching():
            rows = await self._transaction.tenant_rows.select(self._table)
            arm = await self._keyword_arm(
                query, await only(rows, meets), rows, match, thresholds, distinct=distinct
            )
        ranked = list(enumerate(arm[:limit], start=1))
        hits = [
            self._keyword_hit(hit, rank, explain=explain)
            async for some in slices(ranked)
            for rank, hit in some
        ]
        return SearchHits(tuple(hits))

    @asynccontextmanager
    async def _searching(self) -> AsyncIterator[None]:
        """Record the plan of the search in the block if plans are collected.

        Every row of the tenant is compared.
        """
        async with self._transaction.statement():
            began = perf_counter()
            yield
            if self._transaction.plans is not None:
                rows = len(await self._transaction.tenant_rows.select(self._table))
                milliseconds = (perf_counter() - began) * 1_000
                plan = SearchPlan(
                    searched=self._table.name,
                    indexes=(),
                    rows_examined=rows,
                    milliseconds=milliseconds,
                    exact=True,
                )
                self._transaction.plans.append(plan)

    async def _keyword_arm(
        self,
        query: str,
        rows: Sequence[Row],
        everything: Sequence[Row],
        match: Match,
        thresholds: Thresholds,
        *,
        distinct: bool,
    ) -> Sequence[KeywordMatch]:
        """Return those of the rows that the keyword arm has, best first.

        A filter changes no frequency: a row has the same score with and without one.
        """
        ranked = await best(
            query,
            rows,
            everything,
            self.searched,
            limit=len(rows),
            match=match,
            ranking=self._transaction.state.bm25,
        )
        if distinct:
            ranked = await self._first_of_each_text(ranked, lambda hit: hit.row)
        least = thresholds.least_keyword_score
        return [
            hit
            async for some in slices(ranked, VALUES_PER_TURN)
            for hit in some
            if keyword_score(hit.relevance) >= least
        ]

    async def _first_of_each_text(
        self, ranked: Sequence[T], row_of: Callable[[T], Row]
    ) -> Sequence[T]:
        firsts: dict[bytes, T] = {}
        async for some in slices(ranked, VALUES_PER_TURN):
            for item in some:
                firsts.setdefault(text_hash(row_of(item)[self.text]), item)
        return list(firsts.values())

    def _keyword_hit(self, ranked: KeywordMatch, rank: int, *, explain: bool) -> SearchHit[E]:
        score = keyword_score(ranked.relevance)
        terms = ranked.terms if explain else ()
        return SearchHit(
            item=self._copy(ranked.row),
            score=score,
            keyword_score=score,
            keyword_rank=rank,
            matched_terms=terms,
        )


class FakeSearchRepository(FakeWordSearchRepository[E]):
    """Searches entities by vector, by words, and by both."""

    async def _search_vectors(
        self,
        embedding: VectorLike,
        meets: Condition,
        *,
        limit: int,
        metric: Distance = Distance.COSINE,
        thresholds: Thresholds = Thresholds(),
        distinct: bool = False,
    ) -> SearchHits[E]:
        query = self._query_vector(embedding)
        require_limit(limit)
        async with self._searching():
            rows = await self._transaction.tenant_rows.select(self._table, meets)
            ranked = await self._vector_arm(
                rows, query, thresholds, distinct=distinct, metric=metric
            )
        return await self._vector_hits(ranked[:limit], metric)

    async def _vector_arm(
        self,
        rows: Sequence[Row],
        query: Vector,
        thresholds: Thresholds,
        *,
        distinct: bool,
        metric: Distance = Distance.COSINE,
    ) -> Sequence[tuple[Row, float]]:
        """Return all rows of the vector arm with their distances, nearest first."""
        ranked: Sequence[tuple[Row, float]] = await nearest(rows, query, metric)
        if distinct:
            ranked = await self._first_of_each_text(ranked, lambda measured: measured[0])
        farthest = thresholds.farthest(metric)
        return [
            (row, distance)
            async for some in slices(ranked, VALUES_PER_TURN)
            for row, distance in some
            if distance <= farthest
        ]

    async def _vector_hits(
        self, ranked: Sequence[tuple[Row, float]], metric: Distance
    ) -> SearchHits[E]:
        hits = [
            SearchHit(
                item=self._copy(row),
                score=vector_score(distance, metric),
                distance=distance,
                vector_rank=rank,
            )
            async for some in slices(list(enumerate(ranked, start=1)))
            for rank, (row, distance) in some
        ]
        return SearchHits(tuple(hits))

    async def _search_both(
        self,
        query: str,
        embedding: VectorLike,
        meets: Condition,
        *,
        limit: int,
        weights: Weights | None,
        match: Match = Match.ANY,
        diversity: Diversity | None = None,
        recency: Recency | None = None,
        thresholds: Thresholds = Thresholds(),
        distinct: bool = False,
    ) -> SearchHits[E]:
        vector = self._query_vector(embedding)
        depth = arm_depth(require_limit(limit))
        candidates = limit if diversity is None else diverse_depth(limit)
        async with self._searching():
            everything = await self._transaction.tenant_rows.select(self._table)
            rows = await only(everything, meets)
            near = (await self._vector_arm(rows, vector, Thresholds(), distinct=distinct))[:depth]
            words = (
                await self._keyword_arm(
                    query, rows, everything, match, Thresholds(), distinct=distinct
                )
            )[:depth]
        by_vector, by_words = await _with_shares(
            near, words, self._weights if weights is None else weights, thresholds
        )
        if distinct:
            by_words = await self._as_in_vector_arm(by_words, by_vector)
        hits = await self._fused(by_vector, by_words)
        by_id = {ranked.row["id"]: ranked.row for ranked in (*by_words, *by_vector)}
        if recency is not None:
            hits = await self._weighed_by_age(hits, by_id, recency)
        if diversity is not None:
            hits = _diverse(hits[:candidates], by_id, diversity, limit)
        return SearchHits(tuple(hits[:limit]))

    async def _weighed_by_age(
        self, hits: Sequence[SearchHit[E]], rows: Mapping[UUID, Row], recency: Recency
    ) -> list[SearchHit[E]]:
        weighed = [
            replace(hit, score=hit.score * recency.weight(self._age(rows[_id(hit)])))
            async for some in slices(hits)
            for hit in some
        ]
        return await sorted_in_slices(weighed, _best_first)

    async def _as_in_vector_arm(
        self, words: Sequence[_Ranked], near: Sequence[_Ranked]
    ) -> list[_Ranked]:
        """Return the keyword arm with the rows that stand for the same texts in the vector arm."""
        rows = {
            text_hash(ranked.row[self.text]): ranked.row
            async for some in slices(near)
            for ranked in some
        }
        return [
            replace(ranked, row=rows.get(text_hash(ranked.row[self.text]), ranked.row))
            async for some in slices(words)
            for ranked in some
        ]

    def _age(self, row: Row) -> timedelta:
        moment: datetime = row["updated_at"] if "updated_at" in row else row["created_at"]
        return self._transaction.now - moment

    async def _fused(self, near: Iterable[_Ranked], words: Iterable[_Ranked]) -> list[SearchHit[E]]:
        by_vector = {ranked.row["id"]: ranked for ranked in near}
        by_words = {ranked.row["id"]: ranked for ranked in words}

        def hit(key: UUID) -> SearchHit[E]:
            vector, keyword = by_vector.get(key), by_words.get(key)
            return SearchHit(
                item=self._copy((vector or by_words[key]).row),
                score=fused_score(
                    vector.share if vector else 0.0, keyword.share if keyword else 0.0
                ),
                distance=vector.score if vector else None,
                vector_rank=vector.rank if vector else None,
                keyword_score=keyword.score if keyword else None,
                keyword_rank=keyword.rank if keyword else None,
            )

        keys = list({**by_vector, **by_words})
        hits = [hit(key) async for some in slices(keys) for key in some]
        return await sorted_in_slices(hits, _best_first)

    @property
    def _weights(self) -> Weights:
        share = self._transaction.state.vector_weight
        return Weights(vector=share, keyword=1 - share)

    def _query_vector(self, embedding: VectorLike) -> Vector:
        return query_vector(embedding, self._transaction.state.dimensions)


async def _with_shares(
    near: Sequence[tuple[Row, float]],
    words: Sequence[KeywordMatch],
    weights: Weights,
    thresholds: Thresholds,
) -> tuple[list[_Ranked], list[_Ranked]]:
    """Return the rows of both arms with what each adds to the fused score.

    Thresholds leave rows out, and do not change what the others add.
    """
    of_vector, of_words = arm_shares(
        {row["id"]: distance async for some in slices(near) for row, distance in some},
        {hit.row["id"]: hit.relevance async for some in slices(words) for hit in some},
        possible=words[0].possible if words else 0.0,
        weights=weights,
    )
    by_vector = [
        _Ranked(row, rank, distance, of_vector[row["id"]])
        async for some in slices(list(enumerate(near, start=1)))
        for rank, (row, distance) in some
        if distance <= thresholds.farthest()
    ]
    by_words = [
        _Ranked(hit.row, rank, score, of_words[hit.row["id"]])
        async for some in slices(list(enumerate(words, start=1)))
        for rank, hit in some
        if (score := keyword_score(hit.relevance)) >= thresholds.least_keyword_score
    ]
    return by_vector, by_words


def _id(hit: SearchHit[E]) -> UUID:
    key: UUID = vars(hit.item)["id"]
    return key


def _best_first(hit: SearchHit[E]) -> tuple[float, UUID]:
    return -hit.score, _id(hit)


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
