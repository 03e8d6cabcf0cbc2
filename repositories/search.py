"""Searches of one kind of entity: each builds one statement, sends it, and reads the hits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from domain.schema.base import Entity
from domain.values.embedding import query_vector
from domain.values.paging import require_limit
from domain.values.reranking import (
    Diversity,
    Recency,
    diverse_depth,
    maximal_marginal_relevance,
)
from domain.values.scores import Thresholds, keyword_score, vector_score
from domain.values.search import Distance, Match, SearchHit, SearchHits, Weights, arm_depth
from domain.values.turns import slices
from repositories.base import ReadRepository
from repositories.explain import read_plan
from repositories.sql import bm25, explain, hybrid, vector
from repositories.sql.filters import FilterKey
from repositories.sql.large_tenants import OWNERS, TENANT_INDEXES

if TYPE_CHECKING:
    from pgvector import Vector
    from sqlalchemy import Select

    from domain.values.embedding import VectorLike
    from domain.values.filters import Filter
    from domain.values.plans import SearchPlan
    from repositories.postgres.compiled_statements import Row
    from repositories.postgres.large_tenants import LargeTenants

E = TypeVar("E", bound=Entity)


class SearchRepository(ReadRepository[E]):
    """Searches entities with an embedding, a `search_vector`, or both. Hits are not tracked."""

    def _condition(self, *conditions: Filter | None) -> FilterKey:
        return FilterKey(*conditions)

    def _checked_vector(self, embedding: VectorLike, where: FilterKey) -> Vector:
        """Return the query vector, after the filter is checked as the fake checks it."""
        where.condition(self.entity)
        return self._query_vector(embedding)

    async def _search_vectors(
        self,
        embedding: VectorLike,
        where: FilterKey,
        *,
        limit: int,
        metric: Distance = Distance.COSINE,
        thresholds: Thresholds = Thresholds(),
        distinct: bool = False,
    ) -> SearchHits[E]:
        values = {
            "embedding": self._checked_vector(embedding, where),
            "max_distance": thresholds.farthest(metric),
        }
        scan = await self._scan(require_limit(limit), metric, distinct=distinct)
        if not where.filters:
            scan = scan.without_filter(limit)
        statement = hybrid.vector_statement(self.entity, scan, where, limit=limit)
        rows = await self._hit_rows(statement, values, scan)
        return await self._hits(rows, limit, metric=metric, scan=scan)

    async def _search_words(
        self,
        query: str,
        where: FilterKey,
        *,
        limit: int,
        match: Match = Match.ANY,
        explain: bool = False,
        thresholds: Thresholds = Thresholds(),
        distinct: bool = False,
    ) -> SearchHits[E]:
        values, access = self._query_values(query, match, thresholds), await self._access()
        if match is Match.ANY and not distinct and bm25.is_one_word(query):
            statement = hybrid.single_term_statement(
                self.entity, where, access, limit=require_limit(limit), explain=explain
            )
            rows = await self._hit_rows(statement, values)
            # A row without an id says that the word has several lexemes, which the other statement
            # searches for.
            if all(row["id"] is not None for row in rows):
                return await self._hits(rows, limit)
        statement = hybrid.keyword_statement(
            self.entity,
            match,
            where,
            access,
            limit=require_limit(limit),
            explain=explain,
            distinct=distinct,
        )
        return await self._hits(await self._hit_rows(statement, values), limit)

    async def _search_both(
        self,
        query: str,
        embedding: VectorLike,
        where: FilterKey,
        *,
        limit: int,
        weights: Weights | None,
        match: Match = Match.ANY,
        diversity: Diversity | None = None,
        recency: Recency | None = None,
        thresholds: Thresholds = Thresholds(),
        distinct: bool = False,
    ) -> SearchHits[E]:
        values = {
            **self._query_values(query, match, thresholds),
            "embedding": self._checked_vector(embedding, where),
            "max_distance": thresholds.farthest(),
            **self._weights(weights),
        }
        if recency is not None:
            values["half_life"] = recency.half_life_days
        fused = require_limit(limit) if diversity is None else diverse_depth(limit)
        scan = await self._scan(limit, distinct=distinct)
        statement = hybrid.hybrid_statement(
            self.entity,
            scan,
            match,
            where,
            await self._access(),
            limit=fused,
            recent=recency is not None,
            diverse=diversity is not None,
        )
        rows = await self._hit_rows(statement, values, scan)
        if diversity is not None:
            rows = _diverse(rows, diversity, limit)
        return await self._hits(rows, limit, scan=scan)

    def _query_values(self, query: str, match: Match, thresholds: Thresholds) -> dict[str, Any]:
        binds = bm25.query_parameters(query, match, self._transaction.schema.language)
        return {**binds, "min_score": thresholds.least_keyword_score}

    def _weights(self, weights: Weights | None) -> dict[str, float]:
        share = self._transaction.schema.vector_weight
        weights = weights or Weights(vector=share, keyword=1 - share)
        return {"vector_weight": weights.vector, "keyword_weight": weights.keyword}

    async def _access(self) -> bm25.Access:
        schema, table = self._transaction.schema, self.entity.__table__.name
        tenants = await self._large_tenants()
        return bm25.Access(
            by_index=not schema.row_level_security,
            owns_table=tenants.owns(table, self._transaction.tenant),
            distributed=schema.distributed,
            ranking=schema.bm25,
        )

    async def _large_tenants(self) -> LargeTenants:
        tenants = self._transaction.schema.large_tenants
        if tenants.is_outdated:
            indexes = await self._transaction.rows(TENANT_INDEXES)
            owners = await self._transaction.rows(OWNERS)
            names = (row["name"] for row in indexes if row["is_valid"])
            tenants.update(names, (row["name"] for row in owners))
        return tenants

    async def _scan(
        self, limit: int, metric: Distance = Distance.COSINE, *, distinct: bool
    ) -> vector.Scan:
        schema, tenant = self._transaction.schema, self._transaction.tenant
        tenants = await self._large_tenants()
        table = self.entity.__table__.name
        return vector.Scan(
            graph=tenants.graph_of(table, tenant, schema.dimensions),
            limit=arm_depth(limit),
            metric=metric,
            dimensions=schema.dimensions,
            ef_search=schema.ef_search,
            distinct=distinct,
        )

    def _query_vector(self, embedding: VectorLike) -> Vector:
        return query_vector(embedding, self._transaction.schema.dimensions)

    async def _hit_rows(
        self, statement: Select[Any], values: dict[str, Any], scan: vector.Scan | None = None
    ) -> Sequence[Row]:
        binds = {**values, "tenant": self._transaction.tenant}
        if self._transaction.plans is not None:
            self._transaction.plans.append(await self._plan(statement, binds, scan))
        return await self._transaction.rows(statement, binds)

    async def _plan(
        self, statement: Select[Any], binds: dict[str, Any], scan: vector.Scan | None
    ) -> SearchPlan:
        table = {"table_name": self.entity.__table__.name}
        statistics = (await self._transaction.execute(explain.STATISTICS, table)).mappings().one()
        [explained] = (
            await self._transaction.execute(explain.Explain(statement), binds)
        ).scalar_one()
        return read_plan(
            self.entity, explained, statistics, ef_search=None if scan is None else scan.size
        )

    async def _hits(
        self,
        rows: Sequence[Row],
        limit: int,
        *,
        metric: Distance = Distance.COSINE,
        scan: vector.Scan | None = None,
    ) -> SearchHits[E]:
        exact = all(row["hit_exact"] for row in rows)
        bounded = any(row["hit_bounded"] for row in rows)
        hits: list[SearchHit[E]] = []
        async for some in slices(rows):
            hits += [self._hit(row, metric) for row in some if row["id"] is not None]
        return SearchHits(
            tuple(hits),
            exact=exact,
            ef_search=None if exact or scan is None else scan.size,
            bound_reached=bounded and len(hits) < limit,
        )

    def _hit(self, row: Row, metric: Distance) -> SearchHit[E]:
        # The columns that remain in the row are those of the entity.
        hit = {name: row.pop(f"hit_{name}") for name in hybrid.HIT_COLUMNS}
        row.pop("hit_similar", None)
        relevance, distance = hit["relevance"], hit["distance"]
        by_words = None if relevance is None else keyword_score(relevance)
        score = hit["fused"]
        if score is None:
            score = vector_score(distance, metric) if by_words is None else by_words
        return SearchHit(
            item=self._hydrate(row),
            score=score,
            distance=distance,
            vector_rank=hit["vector_rank"],
            keyword_score=by_words,
            keyword_rank=hit["keyword_rank"],
            matched_terms=tuple(sorted(hit["terms"] or ())),
        )


def _diverse(rows: Sequence[Row], diversity: Diversity, limit: int) -> Sequence[Row]:
    scores = [row["hit_fused"] for row in rows]

    def similarity(one: int, other: int) -> float:
        similar: float | None = rows[one]["hit_similar"][other]
        return similar or 0.0

    order = maximal_marginal_relevance(scores, similarity, limit=limit, lambda_=diversity.lambda_)
    return [rows[place] for place in order]
