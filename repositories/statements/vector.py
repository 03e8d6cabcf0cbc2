"""Nearest rows by vector."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import CTE, ColumnElement, Float, Select, bindparam, func, select

from domain.embedding import EmbeddingColumn
from domain.search import Distance

if TYPE_CHECKING:
    from pgvector import Vector

    from domain.entity import Entity

OPERATORS = {Distance.COSINE: "<=>", Distance.L2: "<->", Distance.INNER_PRODUCT: "<#>"}


def distance_to(entity: type[Entity], embedding: Vector, metric: Distance = Distance.COSINE) -> ColumnElement[float]:
    """Return the distance of a row's embedding, in the form that an HNSW index serves: the operator on the bare column."""
    column = entity.__table__.c.embedding
    return column.op(OPERATORS[metric], return_type=Float())(bindparam("embedding", embedding, EmbeddingColumn()))


def nearest(
    entity: type[Entity], distance: ColumnElement[float], *conditions: ColumnElement[bool], limit: int, exact: bool = False
) -> CTE:
    """Return ids and distances of the nearest rows that have an embedding and meet the conditions, ranked, ties by id.

    The scan hands rows over nearly in order, so they are ranked outside. `exact` hides the distance from the index.
    """
    columns = entity.__table__.c
    order = distance + 0.0 if exact else distance
    scanned = (
        select(columns.id, distance.label("distance"))
        .where(columns.embedding.is_not(None), *conditions)
        .order_by(order, columns.id)
        .limit(limit)
        .cte("scanned")
        .prefix_with("MATERIALIZED", dialect="postgresql")
    )
    rank = func.row_number().over(order_by=(scanned.c.distance, scanned.c.id)).label("rank")
    return select(scanned.c.id, scanned.c.distance, rank).cte("nearest")


def scan_settings(size: int) -> Select[Any]:
    """Set, for this transaction, an HNSW scan over `size` candidates that goes on until enough rows have passed the filter.

    Without it, a filter that one row in a hundred meets left 0.3 of 10 rows on average, and `LIMIT 100` gave 40.
    """
    return select(
        func.set_config("hnsw.ef_search", str(size), True),  # noqa: FBT003 -- the third argument: for this transaction
        func.set_config("hnsw.iterative_scan", "relaxed_order", True),  # noqa: FBT003 -- likewise
    )
