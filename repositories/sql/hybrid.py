"""Hits: ranked ids joined with their rows, from one arm or from two that are fused.

Statements are built once for each shape of question and kept: building one costs more than most
searches. What differs from call to call is bound: `tenant`, `embedding`, `query`, `web`,
`language`, `max_distance`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    ARRAY,
    CTE,
    ColumnElement,
    Float,
    Integer,
    Select,
    Text,
    and_,
    bindparam,
    func,
    literal,
    null,
    select,
    true,
)
from sqlalchemy.dialects.postgresql import aggregate_order_by

from domain.schema.columns import EmbeddingColumn
from domain.values.reranking import MAX_HALVINGS
from domain.values.search import RRF_K, Distance, Match, Weights
from repositories.sql import bm25
from repositories.sql.caching import cached_statement
from repositories.sql.filters import FilterKey
from repositories.sql.rows import fields, tenant_bind
from repositories.sql.vector import OPERATORS, Scan, literal_int, nearest

if TYPE_CHECKING:
    from domain.schema.base import Entity

ARM_DEPTH = 40
MAX_DIVERSE = 400
"""Candidates that are compared with each other, unless more are asked for: their literal_int squared."""


def arm_depth(limit: int) -> int:
    """Return how many rows each arm of a hybrid search ranks."""
    return max(ARM_DEPTH, 4 * limit)


def diverse_depth(limit: int) -> int:
    """Return among how many fused rows a diverse search chooses."""
    return max(limit, min(arm_depth(limit), MAX_DIVERSE))


@cached_statement
def by_vector(entity: type[Entity], scan: Scan, where: FilterKey, *, bounded: bool) -> Select[Any]:
    """Select the nearest rows; `bounded`, what is farther than `max_distance` comes without its
    row.

    That tells that the index had enough, and costs no text.
    """
    vector = nearest(entity, scan, where.condition(entity))
    absent = (*_absent("relevance", "keyword_rank"), null().cast(ARRAY(Text())).label("terms"))
    rank = vector.c.rank.label("vector_rank")
    found = select(
        vector.c.id,
        null().cast(Float).label("fused"),
        vector.c.distance,
        vector.c.exact,
        rank,
        *absent,
    ).cte("found")
    return _hits(
        entity,
        found,
        found.c.distance <= bindparam("max_distance", type_=Float()) if bounded else true(),
    )


@cached_statement
def keyword_statement(
    entity: type[Entity], match: Match, where: FilterKey, *, limit: int, explain: bool
) -> Select[Any]:
    """Select the rows that match the words best."""
    return _by_keyword(
        entity, bm25.matching(entity, match, where.condition(entity), limit=limit, explain=explain)
    )


@cached_statement
def single_term_statement(
    entity: type[Entity], where: FilterKey, *, limit: int, explain: bool
) -> Select[Any]:
    """Select the rows that match the only word best, or a row without an id where it is several lexemes."""
    return _by_keyword(
        entity,
        bm25.single_term_matches(entity, where.condition(entity), limit=limit, explain=explain),
    )


def _by_keyword(entity: type[Entity], keyword: CTE) -> Select[Any]:
    absent = (*_absent("distance", "vector_rank"), true().label("exact"))
    rank = keyword.c.rank.label("keyword_rank")
    found = select(
        keyword.c.id,
        null().cast(Float).label("fused"),
        *absent,
        keyword.c.relevance,
        rank,
        keyword.c.terms,
    )
    return _hits(entity, found.cte("found"))


@cached_statement
def hybrid_statement(
    entity: type[Entity],
    scan: Scan,
    match: Match,
    where: FilterKey,
    *,
    weights: Weights,
    limit: int,
    recent: bool = False,
    diverse: bool = False,
) -> Select[Any]:
    """Select the rows of both arms by weighted reciprocal rank: sum of weight / (60 + rank), best
    first, ties by id.

    `recent` weighs the sum by the row's age, and has one bind more, `half_life` in days. `diverse`
    tells how similar each row is to every one, in order.
    """
    condition = where.condition(entity)
    vector = nearest(entity, scan, condition)
    keyword = bm25.matching(entity, match, condition, limit=scan.limit, explain=False)
    identity = func.coalesce(vector.c.id, keyword.c.id)
    score = func.coalesce(
        literal(weights.vector, Float()) / (RRF_K + vector.c.rank), 0.0
    ) + func.coalesce(literal(weights.keyword, Float()) / (RRF_K + keyword.c.rank), 0.0)
    found = select(
        identity.label("id"),
        score.label("fused"),
        vector.c.distance,
        func.coalesce(vector.c.exact, true()).label("exact"),
        vector.c.rank.label("vector_rank"),
        keyword.c.relevance,
        keyword.c.rank.label("keyword_rank"),
        keyword.c.terms,
    ).select_from(vector.outerjoin(keyword, vector.c.id == keyword.c.id, full=True))
    fused = _weighed_by_age(entity, found.cte("fused")) if recent else found
    best = (
        fused.order_by(fused.selected_columns.fused.desc(), fused.selected_columns.id)
        .limit(literal_int(limit))
        .cte("found")
    )
    return _with_similarities(entity, best) if diverse else _hits(entity, best)


def _weighed_by_age(entity: type[Entity], fused: CTE) -> Select[Any]:
    columns = entity.__table__.c
    days = func.extract("epoch", func.now() - columns[age_column(entity)]).cast(Float) / 86_400
    halvings = func.least(
        MAX_HALVINGS, func.greatest(0.0, days / bindparam("half_life", type_=Float()))
    )
    weighed = (fused.c.fused * func.power(literal(0.5, Float()), halvings)).label("fused")
    there = and_(columns.id == fused.c.id, tenant_bind(entity))
    return select(*(weighed if column.key == "fused" else column for column in fused.c)).join_from(
        fused, entity.__table__, there
    )


def _with_similarities(entity: type[Entity], found: CTE) -> Select[Any]:
    columns, hits = entity.__table__.c, _hits(entity, found)
    # Of length one and read once: embeddings kept out of line would be fetched for every pair.
    unit = func.l2_normalize(columns.embedding, type_=EmbeddingColumn()).label("unit")
    there = and_(columns.id == found.c.id, tenant_bind(entity))
    units = (
        select(found.c.id, found.c.fused, unit)
        .join_from(found, entity.__table__, there)
        .cte("units")
    )
    units = units.prefix_with("MATERIALIZED", dialect="postgresql")
    one, other = units.alias("one"), units.alias("other")
    cosine = -one.c.unit.op(OPERATORS[Distance.INNER_PRODUCT], return_type=Float())(other.c.unit)
    in_order = aggregate_order_by(cosine, other.c.fused.desc(), other.c.id)
    similar = (
        select(func.array_agg(in_order))
        .select_from(one.join(other, true()))
        .where(one.c.id == found.c.id)
    )
    return hits.add_columns(similar.scalar_subquery().label("hit_similar"))


def age_column(entity: type[Entity]) -> str:
    """Return the name of the column that tells a row's age."""
    return "updated_at" if "updated_at" in entity.__table__.c else "created_at"


def _absent(score: str, rank: str) -> tuple[ColumnElement[Any], ColumnElement[Any]]:
    return null().cast(Float).label(score), null().cast(Integer).label(rank)


def _hits(
    entity: type[Entity], found: CTE, within: ColumnElement[bool] | None = None
) -> Select[Any]:
    """Select the found rows with their scores and ranks, best first."""
    row = and_(
        entity.__table__.c.id == found.c.id,
        tenant_bind(entity),
        true() if within is None else within,
    )
    names = ("fused", "distance", "exact", "vector_rank", "relevance", "keyword_rank", "terms")
    scores = [found.c[name].label(f"hit_{name}") for name in names]
    best = func.coalesce(-found.c.fused, found.c.vector_rank, found.c.keyword_rank)
    return (
        select(*fields(entity), *scores)
        .select_from(found.outerjoin(entity.__table__, row))
        .order_by(best, found.c.id)
    )
