"""Hits: ranked ids joined with their rows, from one arm or from two that are fused.

Statements are built once for each shape of question and kept: building one costs more than most searches. What differs from call to
call is bound: `tenant`, `embedding`, `query`, `web`, `language`, `max_distance`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import ARRAY, CTE, ColumnElement, Float, Integer, Select, Text, and_, bindparam, func, literal, null, select, true

from domain.search import RRF_K, Match, Weights
from repositories.statements import bm25
from repositories.statements.filters import filter_condition
from repositories.statements.keeping import kept
from repositories.statements.rows import fields, the_tenants
from repositories.statements.vector import Scan, nearest, number

if TYPE_CHECKING:
    from domain.entity import Entity
    from domain.filters import Filter

ARM_DEPTH = 40


def arm_depth(limit: int) -> int:
    """Return how many rows each arm of a hybrid search ranks."""
    return max(ARM_DEPTH, 4 * limit)


class Where:
    """A filter as part of a key: filters with equal values of different types (1, 1.0, True) are different statements."""

    __slots__ = ("_key", "filter")

    def __init__(self, condition: Filter | None) -> None:
        self.filter = condition
        self._key = repr(condition)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Where) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    def condition(self, entity: type[Entity]) -> ColumnElement[bool] | None:
        """Return the SQL condition, or None where there is no filter.

        Raises:
            InvalidFilter: it names no column of the entity, or compares what cannot be compared.
        """
        return None if self.filter is None else filter_condition(entity, self.filter)


@kept
def by_vector(entity: type[Entity], scan: Scan, where: Where, *, bounded: bool) -> Select[Any]:
    """Select the nearest rows; `bounded`, what is farther than `max_distance` comes without its row.

    That tells that the index had enough, and costs no text.
    """
    vector = nearest(entity, scan, where.condition(entity))
    absent = (*_absent("relevance", "keyword_rank"), null().cast(ARRAY(Text())).label("terms"))
    rank = vector.c.rank.label("vector_rank")
    found = select(vector.c.id, null().cast(Float).label("fused"), vector.c.distance, vector.c.exact, rank, *absent).cte("found")
    return _hits(entity, found, found.c.distance <= bindparam("max_distance", type_=Float()) if bounded else true())


@kept
def by_words(entity: type[Entity], match: Match, where: Where, *, limit: int, explain: bool) -> Select[Any]:
    """Select the rows that match the words best."""
    keyword = bm25.matching(entity, match, where.condition(entity), limit=limit, explain=explain)
    absent = (*_absent("distance", "vector_rank"), true().label("exact"))
    rank = keyword.c.rank.label("keyword_rank")
    found = select(keyword.c.id, null().cast(Float).label("fused"), *absent, keyword.c.relevance, rank, keyword.c.terms)
    return _hits(entity, found.cte("found"))


@kept
def by_both(entity: type[Entity], scan: Scan, match: Match, where: Where, *, weights: Weights, limit: int) -> Select[Any]:
    """Select the rows of both arms by weighted reciprocal rank: sum of weight / (60 + rank), best first, ties by id."""
    condition = where.condition(entity)
    vector = nearest(entity, scan, condition)
    keyword = bm25.matching(entity, match, condition, limit=scan.limit, explain=False)
    identity = func.coalesce(vector.c.id, keyword.c.id)
    score = func.coalesce(literal(weights.vector, Float()) / (RRF_K + vector.c.rank), 0.0) + func.coalesce(
        literal(weights.keyword, Float()) / (RRF_K + keyword.c.rank), 0.0
    )
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
    return _hits(entity, found.order_by(score.desc(), identity).limit(number(limit)).cte("found"))


def _absent(score: str, rank: str) -> tuple[ColumnElement[Any], ColumnElement[Any]]:
    return null().cast(Float).label(score), null().cast(Integer).label(rank)


def _hits(entity: type[Entity], found: CTE, within: ColumnElement[bool] | None = None) -> Select[Any]:
    """Select the found rows with their scores and ranks, best first."""
    row = and_(entity.__table__.c.id == found.c.id, the_tenants(entity), true() if within is None else within)
    names = ("fused", "distance", "exact", "vector_rank", "relevance", "keyword_rank", "terms")
    scores = [found.c[name].label(f"hit_{name}") for name in names]
    best = func.coalesce(-found.c.fused, found.c.vector_rank, found.c.keyword_rank)
    return select(*fields(entity), *scores).select_from(found.outerjoin(entity.__table__, row)).order_by(best, found.c.id)
