"""Statements of searches: ranked ids joined with their rows, from one arm or from two.

A statement is built once for each shape of search, because building one costs more than most
searches. Values that differ between calls are bound: `tenant`, `embedding`, `query`, `web`,
`language`, `max_distance` and `min_score`. `max_distance` limits the rows of the vector arm,
`min_score` the keyword scores of the keyword arm.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

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
    or_,
    select,
    true,
)
from sqlalchemy.dialects.postgresql import aggregate_order_by

from domain.schema.columns import EmbeddingColumn
from domain.values.reranking import MAX_HALVINGS
from domain.values.search import Distance, Match, arm_depth
from repositories.sql import bm25, fusion
from repositories.sql.caching import cached_statement
from repositories.sql.ctes import materialized
from repositories.sql.filters import FilterKey
from repositories.sql.rows import fields, tenant_bind
from repositories.sql.vector import OPERATORS, Scan, literal_int, nearest

if TYPE_CHECKING:
    from domain.schema.base import Entity

HIT_COLUMNS: Final = (
    "fused",
    "distance",
    "exact",
    "bounded",
    "vector_rank",
    "relevance",
    "keyword_rank",
    "terms",
)
"""The columns of a hit. In a result their names start with `hit_`."""


@cached_statement
def vector_statement(
    entity: type[Entity], scan: Scan, where: FilterKey, *, limit: int
) -> Select[Any]:
    """Select the nearest rows."""
    vector = nearest(entity, scan, where.condition(entity))
    rows = select(
        vector.c.id,
        null().cast(Float).label("fused"),
        vector.c.distance,
        vector.c.exact,
        vector.c.bounded,
        vector.c.rank.label("vector_rank"),
        *_absent("relevance", "keyword_rank"),
        null().cast(ARRAY(Text())).label("terms"),
    ).where(_near_enough(vector))
    rows = rows.order_by(vector.c.rank).limit(literal_int(limit))
    return _hits(entity, rows.cte("hits"))


@cached_statement
def keyword_statement(
    entity: type[Entity],
    match: Match,
    where: FilterKey,
    access: bm25.Access,
    *,
    limit: int,
    explain: bool,
    distinct: bool,
) -> Select[Any]:
    """Select the rows that match the words best."""
    keyword = bm25.matching(
        entity,
        match,
        where.condition(entity),
        limit=arm_depth(limit),
        access=access,
        explain=explain,
        distinct=distinct,
    )
    return _by_keyword(entity, keyword, limit=limit)


@cached_statement
def single_term_statement(
    entity: type[Entity], where: FilterKey, access: bm25.Access, *, limit: int, explain: bool
) -> Select[Any]:
    """Select the rows that match a single word best.

    The result is one row without an id if the word has several lexemes.
    """
    keyword = bm25.single_term_matches(
        entity, where.condition(entity), limit=arm_depth(limit), access=access, explain=explain
    )
    return _by_keyword(entity, keyword, limit=limit)


def _by_keyword(entity: type[Entity], keyword: CTE, *, limit: int) -> Select[Any]:
    bounded = keyword.c.bounded if "bounded" in keyword.c else literal(value=False)
    rows = select(
        keyword.c.id,
        null().cast(Float).label("fused"),
        *_absent("distance", "vector_rank"),
        true().label("exact"),
        bounded.label("bounded"),
        keyword.c.relevance,
        keyword.c.rank.label("keyword_rank"),
        keyword.c.terms,
    ).where(_relevant_enough(keyword))
    rows = rows.order_by(keyword.c.rank).limit(literal_int(limit))
    return _hits(entity, rows.cte("hits"))


def _near_enough(vector: CTE) -> ColumnElement[bool]:
    return vector.c.distance <= bindparam("max_distance", type_=Float())


def _relevant_enough(keyword: CTE) -> ColumnElement[bool]:
    score = keyword.c.relevance / (1.0 + keyword.c.relevance)
    return or_(keyword.c.id.is_(None), score >= bindparam("min_score", type_=Float()))


@cached_statement
def hybrid_statement(
    entity: type[Entity],
    scan: Scan,
    match: Match,
    where: FilterKey,
    access: bm25.Access,
    *,
    limit: int,
    recent: bool = False,
    diverse: bool = False,
) -> Select[Any]:
    """Select the rows of both arms by their fused score, best first, ties by id.

    The score is that of `domain.values.fusion.fused_score`. Thresholds leave rows out and do not
    change the scores of the others. A distinct `scan` makes both arms distinct
    and joins them by text. `recent` weighs the score by the age of the row and adds the bind
    `half_life`, in days. `diverse` adds the similarities of each row to every row, in order.
    """
    condition = where.condition(entity)
    vector_rows = nearest(entity, scan, condition)
    keyword_rows = bm25.matching(
        entity,
        match,
        condition,
        limit=scan.limit,
        access=access,
        explain=False,
        distinct=scan.distinct,
    )
    scale = fusion.scales(vector_rows, keyword_rows)
    vector_arm = fusion.with_share(vector_rows, fusion.vector_share(vector_rows, scale), scale)
    vector = vector_arm.where(_near_enough(vector_rows)).cte("vector_arm")
    keyword_arm = fusion.with_share(keyword_rows, fusion.keyword_share(keyword_rows, scale), scale)
    keyword = keyword_arm.where(_relevant_enough(keyword_rows)).cte("keyword_arm")
    identity = func.coalesce(vector.c.id, keyword.c.id)
    same = (
        vector.c.text_hash == keyword.c.text_hash if scan.distinct else vector.c.id == keyword.c.id
    )
    rows = select(
        identity.label("id"),
        fusion.fused(vector, keyword).label("fused"),
        vector.c.distance,
        func.coalesce(vector.c.exact, true()).label("exact"),
        func.coalesce(
            func.greatest(vector.c.bounded, keyword.c.bounded), literal(value=False)
        ).label("bounded"),
        vector.c.rank.label("vector_rank"),
        keyword.c.relevance,
        keyword.c.rank.label("keyword_rank"),
        keyword.c.terms,
    ).select_from(vector.outerjoin(keyword, same, full=True))
    fused = _weighed_by_age(entity, rows.cte("fused")) if recent else rows
    best = (
        fused.order_by(fused.selected_columns.fused.desc(), fused.selected_columns.id)
        .limit(literal_int(limit))
        .cte("hits")
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


def _with_similarities(entity: type[Entity], ranked: CTE) -> Select[Any]:
    columns, hits = entity.__table__.c, _hits(entity, ranked)
    # Embeddings are normalised and read once, not fetched for every pair.
    unit = func.l2_normalize(columns.embedding, type_=EmbeddingColumn()).label("unit")
    there = and_(columns.id == ranked.c.id, tenant_bind(entity))
    units = materialized(
        select(ranked.c.id, ranked.c.fused, unit).join_from(ranked, entity.__table__, there),
        "units",
    )
    one, other = units.alias("one"), units.alias("other")
    cosine = -one.c.unit.op(OPERATORS[Distance.INNER_PRODUCT], return_type=Float())(other.c.unit)
    in_order = aggregate_order_by(cosine, other.c.fused.desc(), other.c.id)
    similar = (
        select(func.array_agg(in_order))
        .select_from(one.join(other, true()))
        .where(one.c.id == ranked.c.id)
    )
    return hits.add_columns(similar.scalar_subquery().label("hit_similar"))


def age_column(entity: type[Entity]) -> str:
    """Return the name of the column with the time that the age of a row counts from."""
    return "updated_at" if "updated_at" in entity.__table__.c else "created_at"


def _absent(score: str, rank: str) -> tuple[ColumnElement[Any], ColumnElement[Any]]:
    return null().cast(Float).label(score), null().cast(Integer).label(rank)


def _hits(entity: type[Entity], ranked: CTE) -> Select[Any]:
    """Select the ranked rows with their scores and ranks, best first."""
    row = and_(entity.__table__.c.id == ranked.c.id, tenant_bind(entity))
    scores = [ranked.c[name].label(f"hit_{name}") for name in HIT_COLUMNS]
    best = func.coalesce(-ranked.c.fused, ranked.c.vector_rank, ranked.c.keyword_rank)
    return (
        select(*fields(entity), *scores)
        .select_from(ranked.outerjoin(entity.__table__, row))
        .order_by(best, ranked.c.id)
    )
