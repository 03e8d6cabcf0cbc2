"""Searching one kind of entity: builds a question, runs it in one statement, and reads the hits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from domain.embedding import require_dimensions, to_vector
from domain.entity import Entity
from domain.errors import InvalidEmbedding
from domain.paging import require_limit
from domain.search import (
    Distance,
    Match,
    SearchHit,
    SearchHits,
    Weights,
    fused_score,
    keyword_score,
    max_distance_for,
    vector_score,
)
from repositories.base import ReadRepository
from repositories.statements import bm25, hybrid, rows, vector

if TYPE_CHECKING:
    from pgvector import Vector
    from sqlalchemy import CTE, ColumnElement, Select

    from domain.embedding import VectorLike

E = TypeVar("E", bound=Entity)


class SearchRepository(ReadRepository[E]):
    """Finds entities that have an embedding, a `search_vector`, or both. Hits are not tracked."""

    async def _search_vectors(
        self,
        embedding: VectorLike,
        condition: ColumnElement[bool] | None,
        *,
        limit: int,
        metric: Distance = Distance.COSINE,
        max_distance: float | None = None,
    ) -> SearchHits[E]:
        question = self._question(embedding, limit=require_limit(limit), metric=metric)
        await self._prepare_scan(question)
        found = await self._nearest(question, condition, max_distance)
        # Deleted rows or identical vectors can starve the index; a scan of the rows cannot.
        if len(found) < limit and not all(row["hit_exact"] for row in found):
            found = await self._nearest(replace(question, exact=True), condition, max_distance)
        return self._hits(found, metric=metric)

    async def _nearest(
        self, question: vector.Question, condition: ColumnElement[bool] | None, max_distance: float | None
    ) -> Sequence[Any]:
        arm = hybrid.only_vector(vector.nearest(self.entity, question, self._of_tenant, condition))
        return await self._found(hybrid.hits(self.entity, self._transaction.tenant, arm, max_distance=max_distance))

    def _question(self, embedding: VectorLike, *, limit: int, metric: Distance = Distance.COSINE) -> vector.Question:
        schema = self._transaction.schema
        return vector.Question(
            embedding=self.query_vector(embedding),
            limit=limit,
            metric=metric,
            dimensions=schema.dimensions,
            ef_search=schema.ef_search,
        )

    async def _search_words(
        self,
        query: str,
        condition: ColumnElement[bool] | None,
        *,
        limit: int,
        match: Match = Match.ANY,
        explain: bool = False,
    ) -> SearchHits[E]:
        arm = self._matching(query, condition, limit=require_limit(limit), match=match, explain=explain)
        return self._hits(await self._found(hybrid.hits(self.entity, self._transaction.tenant, hybrid.only_keyword(arm))))

    def _matching(
        self, query: str, condition: ColumnElement[bool] | None, *, limit: int, match: Match, explain: bool = False
    ) -> CTE:
        language = self._transaction.schema.language
        return bm25.matching(
            self.entity,
            query,
            match,
            language=language,
            tenant=self._of_tenant,
            condition=condition,
            limit=limit,
            explain=explain,
        )

    async def _search_both(
        self,
        query: str,
        embedding: VectorLike,
        condition: ColumnElement[bool] | None,
        *,
        limit: int,
        weights: Weights,
        match: Match = Match.ANY,
    ) -> SearchHits[E]:
        depth = hybrid.arm_depth(require_limit(limit))
        question = self._question(embedding, limit=depth)
        await self._prepare_scan(question)
        arms = (
            vector.nearest(self.entity, question, self._of_tenant, condition),
            self._matching(query, condition, limit=depth, match=match),
        )
        found = hybrid.fused(*arms, weights, limit=limit)
        return self._hits(await self._found(hybrid.hits(self.entity, self._transaction.tenant, found)), weights=weights)

    def query_vector(self, embedding: VectorLike) -> Vector:
        """Return the embedding as a vector that this database can compare with its own.

        Raises:
            InvalidEmbedding: not finite, all zeros, or not of the database's dimension.
        """
        try:
            asked = to_vector(embedding)
            require_dimensions(asked, self._transaction.schema.dimensions)
        except ValueError as error:
            raise InvalidEmbedding(str(error), field="embedding") from None
        return asked

    @staticmethod
    def max_distance(min_score: float | None, metric: Distance) -> float | None:
        """Return the distance that `min_score` stands for; None where it excludes nothing."""
        return None if min_score is None or min_score <= 0 else max_distance_for(min_score, metric)

    @property
    def _of_tenant(self) -> ColumnElement[bool]:
        return rows.of_tenant(self.entity, self._transaction.tenant)

    async def _prepare_scan(self, question: vector.Question) -> None:
        if self._transaction.scan_size < question.scan_size:
            await self._transaction.execute(vector.scan_settings(question.scan_size))
            self._transaction.scan_size = question.scan_size

    async def _found(self, statement: Select[Any]) -> Sequence[Any]:
        return (await self._transaction.execute(statement)).mappings().all()

    def _hits(self, found: Sequence[Any], *, metric: Distance = Distance.COSINE, weights: Weights | None = None) -> SearchHits[E]:
        hits = tuple(self._hit(row, metric, weights) for row in found if row["id"] is not None)
        return SearchHits(hits, exact=all(row["hit_exact"] for row in found))

    def _hit(self, row: Any, metric: Distance, weights: Weights | None) -> SearchHit[E]:
        item = self._hydrate({name: value for name, value in row.items() if not name.startswith("hit_")})
        distance, relevance = row["hit_distance"], row["hit_relevance"]
        by_words = None if relevance is None else keyword_score(relevance)
        if weights is not None:
            score = fused_score(row["hit_fused"], (weights.vector, weights.keyword))
        else:
            score = by_words if by_words is not None else vector_score(distance, metric)
        return SearchHit(
            item=item,
            score=score,
            distance=distance,
            vector_rank=row["hit_vector_rank"],
            keyword_score=by_words,
            keyword_rank=row["hit_keyword_rank"],
            matched_terms=tuple(sorted(row["hit_terms"] or ())),
        )
