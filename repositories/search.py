"""Searching one kind of entity: builds a question, runs it in one statement, and reads the hits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from domain.errors import InvalidEmbedding
from domain.schema.base import Entity
from domain.values.embedding import require_dimensions, to_vector
from domain.values.paging import require_limit
from domain.values.reranking import Diversity, Recency, maximal_marginal_relevance
from domain.values.search import (
    Distance,
    Match,
    SearchHit,
    SearchHits,
    Weights,
    fused_score,
    keyword_score,
    vector_score,
)
from repositories.base import ReadRepository
from repositories.explain import read_plan
from repositories.sql import bm25, explain, hybrid, vector
from repositories.sql.filters import FilterKey

if TYPE_CHECKING:
    from pgvector import Vector
    from sqlalchemy import Select

    from domain.values.embedding import VectorLike
    from domain.values.filters import Filter
    from domain.values.plans import SearchPlan
    from repositories.postgres.direct import Row

E = TypeVar("E", bound=Entity)


class SearchRepository(ReadRepository[E]):
    """Finds entities that have an embedding, a `search_vector`, or both. Hits are not tracked."""

    async def _search_vectors(
        self,
        embedding: VectorLike,
        where: Filter | None,
        *,
        limit: int,
        metric: Distance = Distance.COSINE,
        max_distance: float | None = None,
    ) -> SearchHits[E]:
        values: dict[str, Any] = {"embedding": self.query_vector(embedding)}
        if bounded := max_distance is not None:
            values["max_distance"] = max_distance
        scan, chosen = self._scan(require_limit(limit), metric), FilterKey(where)
        found = await self._found(
            hybrid.by_vector(self.entity, scan, chosen, bounded=bounded), values
        )
        # Deleted rows or identical vectors can starve the index; a scan of the rows cannot.
        if (
            len(found) < limit
            and scan.indexed
            and not (found and all(row["hit_exact"] for row in found))
        ):
            exact = replace(scan, exact=True)
            found = await self._found(
                hybrid.by_vector(self.entity, exact, chosen, bounded=bounded), values
            )
        return self._hits(found, metric=metric)

    async def _search_words(
        self,
        query: str,
        where: Filter | None,
        *,
        limit: int,
        match: Match = Match.ANY,
        explain: bool = False,
    ) -> SearchHits[E]:
        chosen, values = FilterKey(where), self._question(query, match)
        if match is Match.ANY and bm25.is_one_word(query):
            found = await self._found(
                hybrid.single_term_statement(
                    self.entity, chosen, limit=require_limit(limit), explain=explain
                ),
                values,
            )
            if all(row["id"] is not None for row in found):
                return self._hits(found)
        statement = hybrid.keyword_statement(
            self.entity, match, chosen, limit=require_limit(limit), explain=explain
        )
        return self._hits(await self._found(statement, values))

    async def _search_both(
        self,
        query: str,
        embedding: VectorLike,
        where: Filter | None,
        *,
        limit: int,
        weights: Weights,
        match: Match = Match.ANY,
        diversity: Diversity | None = None,
        recency: Recency | None = None,
    ) -> SearchHits[E]:
        values = {**self._question(query, match), "embedding": self.query_vector(embedding)}
        if recency is not None:
            values["half_life"] = recency.half_life_days
        scan = self._scan(hybrid.arm_depth(require_limit(limit)))
        statement = hybrid.hybrid_statement(
            self.entity,
            scan,
            match,
            FilterKey(where),
            weights=weights,
            limit=limit if diversity is None else hybrid.diverse_depth(limit),
            recent=recency is not None,
            diverse=diversity is not None,
        )
        found = await self._found(statement, values)
        return self._hits(
            found if diversity is None else _diverse(found, diversity, weights, limit),
            weights=weights,
        )

    def _question(self, query: str, match: Match) -> dict[str, Any]:
        return dict(bm25.question(query, match, self._transaction.schema.language))

    def _scan(self, limit: int, metric: Distance = Distance.COSINE) -> vector.Scan:
        schema = self._transaction.schema
        return vector.Scan(
            limit=limit, metric=metric, dimensions=schema.dimensions, ef_search=schema.ef_search
        )

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

    async def _found(self, statement: Select[Any], values: dict[str, Any]) -> Sequence[Row]:
        bound = {**values, "tenant": self._transaction.tenant}
        if self._transaction.plans is not None:
            self._transaction.plans.append(await self._plan(statement, bound))
        return await self._transaction.rows(statement, bound)

    async def _plan(self, statement: Select[Any], bound: dict[str, Any]) -> SearchPlan:
        table = {"table_name": self.entity.__table__.name}
        statistics = (await self._transaction.execute(explain.STATISTICS, table)).mappings().one()
        [explained] = (
            await self._transaction.execute(explain.Explain(statement), bound)
        ).scalar_one()
        return read_plan(self.entity, explained, statistics)

    def _hits(
        self,
        found: Sequence[Row],
        *,
        metric: Distance = Distance.COSINE,
        weights: Weights | None = None,
    ) -> SearchHits[E]:
        exact = all(row["hit_exact"] for row in found)
        hits = tuple(self._hit(row, metric, weights) for row in found if row["id"] is not None)
        return SearchHits(hits, exact=exact)

    def _hit(self, row: Row, metric: Distance, weights: Weights | None) -> SearchHit[E]:
        # What is left of the row is the entity's.
        take = row.pop
        fused, distance, relevance, terms = (
            take("hit_fused"),
            take("hit_distance"),
            take("hit_relevance"),
            take("hit_terms"),
        )
        vector_rank, keyword_rank, _, _ = (
            take("hit_vector_rank"),
            take("hit_keyword_rank"),
            take("hit_exact"),
            take("hit_similar", 0),
        )
        keyword_statement = None if relevance is None else keyword_score(relevance)
        if weights is not None:
            score = fused_score(fused, (weights.vector, weights.keyword))
        else:
            score = (
                keyword_statement
                if keyword_statement is not None
                else vector_score(distance, metric)
            )
        return SearchHit(
            item=self._hydrate(row),
            score=score,
            distance=distance,
            vector_rank=vector_rank,
            keyword_score=keyword_statement,
            keyword_rank=keyword_rank,
            matched_terms=tuple(sorted(terms or ())),
        )


def _diverse(
    found: Sequence[Row], diversity: Diversity, weights: Weights, limit: int
) -> Sequence[Row]:
    scores = [fused_score(row["hit_fused"], (weights.vector, weights.keyword)) for row in found]

    def similarity(one: int, other: int) -> float:
        similar: float | None = found[one]["hit_similar"][other]
        return similar or 0.0

    return [
        found[place]
        for place in maximal_marginal_relevance(
            scores, similarity, limit=limit, lambda_=diversity.lambda_
        )
    ]
