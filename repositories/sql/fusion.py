"""The fusion of the two arms of a hybrid search, as `domain.values.fusion` describes it.

Binds: `vector_weight` and `keyword_weight`.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import CTE, ColumnElement, Float, Select, bindparam, case, func, literal, select

from domain.values.fusion import EVEN_SPREAD, ROUNDING, SMALLEST_RANGE, SPREAD_POWER
from repositories.sql.ctes import materialized


def scales(vector: CTE, keyword: CTE) -> CTE:
    """Select one row with the ranges of both arms and the weight of each for this query."""
    distance, relevance = vector.c.distance, keyword.c.relevance
    of_vector = select(
        func.min(distance).label("nearest"),
        func.max(distance).label("farthest"),
        func.count().label("vector_rows"),
        (_bind("vector_weight") * _vector_confidence(distance)).label("vector_weight"),
    ).subquery("of_vector")
    of_keyword = select(
        func.min(relevance).label("least"),
        func.max(relevance).label("most"),
        func.count().label("keyword_rows"),
        (_bind("keyword_weight") * _keyword_confidence(keyword)).label("keyword_weight"),
    ).subquery("of_keyword")
    columns: list[ColumnElement[Any]] = [*of_vector.c, *of_keyword.c]
    scale = select(*columns).select_from(of_vector.join(of_keyword, literal(value=True)))
    return materialized(scale, "scales")


def with_share(arm: CTE, share: ColumnElement[float], scale: CTE) -> Select[Any]:
    """Select the rows of an arm with `share`, the part of the fused score that the arm gives."""
    columns: list[ColumnElement[Any]] = [*arm.c, share.label("share")]
    return select(*columns).select_from(arm.join(scale, literal(value=True)))


def vector_share(vector: CTE, scale: CTE) -> ColumnElement[Any]:
    """Return the weighted score of a row of the vector arm."""
    least, most = -scale.c.farthest, -scale.c.nearest
    score = _normalized(-vector.c.distance, least, most, scale.c.vector_rows)
    return scale.c.vector_weight * score / _total(scale)


def keyword_share(keyword: CTE, scale: CTE) -> ColumnElement[Any]:
    """Return the weighted score of a row of the keyword arm."""
    relevance = keyword.c.relevance
    score = _normalized(relevance, scale.c.least, scale.c.most, scale.c.keyword_rows)
    return scale.c.keyword_weight * score / _total(scale)


def fused(vector: CTE, keyword: CTE) -> ColumnElement[Any]:
    """Return the fused score of a row of the joined arms, rounded."""
    score = func.coalesce(vector.c.share, 0.0) + func.coalesce(keyword.c.share, 0.0)
    return func.floor(score * literal(ROUNDING, Float()) + 0.5) / literal(ROUNDING, Float())


def _bind(name: str) -> ColumnElement[Any]:
    return bindparam(name, type_=Float(), required=True)


def _total(scale: CTE) -> ColumnElement[Any]:
    # The weight of an arm without rows is NULL. Without any weight the total is NULL.
    weights = (func.coalesce(scale.c.vector_weight, 0.0), scale.c.keyword_weight)
    return func.nullif(weights[0] + func.coalesce(weights[1], 0.0), 0.0)


def _vector_confidence(distance: ColumnElement[float]) -> ColumnElement[Any]:
    size = func.max(distance) - func.min(distance)
    rows = func.count(distance)
    usual = EVEN_SPREAD + func.ln(func.greatest(rows, 1).cast(Float))
    spread = size / func.nullif(func.stddev_pop(distance), 0.0) / usual
    return case(
        (rows == 0, None),
        (rows < 3, 1.0),
        (size <= SMALLEST_RANGE, 1.0),
        else_=func.power(spread, float(SPREAD_POWER)),
    )


def _keyword_confidence(keyword: CTE) -> ColumnElement[Any]:
    share = func.max(keyword.c.relevance) / func.max(keyword.c.possible)
    # LEAST ignores NULL, so an arm without rows needs a case of its own.
    return case((func.count(keyword.c.relevance) == 0, None), else_=func.least(1.0, share))


def _normalized(
    score: ColumnElement[float],
    least: ColumnElement[float],
    most: ColumnElement[float],
    rows: ColumnElement[int],
) -> ColumnElement[Any]:
    floor = literal(1.0, Float()) / (rows + 1)
    scaled = floor + (literal(1.0, Float()) - floor) * (score - least) / func.nullif(
        most - least, 0.0
    )
    return case((most - least <= SMALLEST_RANGE, 1.0), else_=scaled)
