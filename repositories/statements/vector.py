"""Nearest rows by vector."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, Float, Select, bindparam, func, select

from domain.embedding import EmbeddingColumn
from domain.search import Distance

if TYPE_CHECKING:
    from pgvector import Vector

    from domain.entity import Entity

OPERATORS = {Distance.COSINE: "<=>", Distance.L2: "<->", Distance.INNER_PRODUCT: "<#>"}


def distance_to(entity: type[Entity], embedding: Vector, metric: Distance = Distance.COSINE) -> ColumnElement[float]:
    """Return the distance of a row's embedding, in the form that its HNSW index serves: the operator on the bare column."""
    column = entity.__table__.c.embedding
    return column.op(OPERATORS[metric], return_type=Float())(bindparam("embedding", embedding, EmbeddingColumn()))


def nearest_ids(
    entity: type[Entity],
    distance: ColumnElement[float],
    *conditions: ColumnElement[bool],
    limit: int,
    max_distance: float | None = None,
) -> Select[Any]:
    """Select the ids and distances of the nearest rows that have an embedding and meet the conditions, ties by id."""
    columns = entity.__table__.c
    statement = select(columns.id, distance.label("distance")).where(columns.embedding.is_not(None), *conditions)
    if max_distance is not None:
        statement = statement.where(distance <= max_distance)
    return statement.order_by(distance, columns.id).limit(limit)


def scan_settings(*, ef_search: int, limit: int) -> Select[Any]:
    """Set, for this transaction, an HNSW scan that goes on until enough rows have passed the filter.

    Without it, a filter that one row in a hundred meets left 0.3 of 10 rows on average, and `LIMIT 100` gave 40.
    """
    size = min(1000, max(ef_search, 2 * limit))
    return select(
        func.set_config("hnsw.ef_search", str(size), True),  # noqa: FBT003 -- the third argument: for this transaction
        func.set_config("hnsw.iterative_scan", "relaxed_order", True),  # noqa: FBT003
    )
