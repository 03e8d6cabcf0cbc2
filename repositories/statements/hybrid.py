"""Hits: ranked ids joined with their rows, from one arm or from two that are fused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import ARRAY, CTE, ColumnElement, Float, Integer, Select, Text, and_, func, literal, null, select, true

from domain.search import RRF_K, Weights
from repositories.statements.rows import fields, of_tenant

if TYPE_CHECKING:
    from domain.entity import Entity

ARM_DEPTH = 40


def arm_depth(limit: int) -> int:
    """Return how many rows each arm of a hybrid search ranks."""
    return max(ARM_DEPTH, 4 * limit)


def fused(vector: CTE, keyword: CTE, weights: Weights, *, limit: int) -> CTE:
    """Return the ids of both arms with their weighted reciprocal rank: sum of weight / (60 + rank), best first, ties by id."""
    identity = func.coalesce(vector.c.id, keyword.c.id)
    score = func.coalesce(literal(weights.vector) / (RRF_K + vector.c.rank), 0.0) + func.coalesce(
        literal(weights.keyword) / (RRF_K + keyword.c.rank), 0.0
    )
    return (
        select(
            identity.label("id"),
            score.label("fused"),
            vector.c.distance,
            func.coalesce(vector.c.exact, true()).label("exact"),
            vector.c.rank.label("vector_rank"),
            keyword.c.relevance,
            keyword.c.rank.label("keyword_rank"),
            keyword.c.terms,
        )
        .select_from(vector.outerjoin(keyword, vector.c.id == keyword.c.id, full=True))
        .order_by(score.desc(), identity)
        .limit(limit)
        .cte("found")
    )


def only_vector(vector: CTE) -> CTE:
    """Return the vector arm in the shape of `fused`."""
    absent = (*_absent("relevance", "keyword_rank"), null().cast(ARRAY(Text())).label("terms"))
    rank = vector.c.rank.label("vector_rank")
    return select(vector.c.id, null().cast(Float).label("fused"), vector.c.distance, vector.c.exact, rank, *absent).cte("found")


def only_keyword(keyword: CTE) -> CTE:
    """Return the keyword arm in the shape of `fused`."""
    absent = (*_absent("distance", "vector_rank"), true().label("exact"))
    rank = keyword.c.rank.label("keyword_rank")
    return select(keyword.c.id, null().cast(Float).label("fused"), *absent, keyword.c.relevance, rank, keyword.c.terms).cte("found")


def _absent(score: str, rank: str) -> tuple[ColumnElement[Any], ColumnElement[Any]]:
    return null().cast(Float).label(score), null().cast(Integer).label(rank)


def hits(
    entity: type[Entity],
    tenant: str,
    found: CTE,
    *,
    max_distance: float | None = None,
) -> Select[Any]:
    """Select the found rows with their scores and ranks, best first.

    What is farther than `max_distance` comes without its row: it tells that the index had enough, and costs no text.
    """
    columns = entity.__table__.c
    within = and_(columns.id == found.c.id, of_tenant(entity, tenant))
    if max_distance is not None:
        within = and_(within, found.c.distance <= max_distance)
    names = ("fused", "distance", "exact", "vector_rank", "relevance", "keyword_rank", "terms")
    scores = [found.c[name].label(f"hit_{name}") for name in names]
    return (
        select(*fields(entity), *scores)
        .select_from(found.outerjoin(entity.__table__, within))
        .order_by(func.coalesce(-found.c.fused, found.c.vector_rank, found.c.keyword_rank), found.c.id)
    )
