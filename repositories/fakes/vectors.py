"""Distances between vectors, as pgvector measures them, and the nearest rows. Always exact."""

from __future__ import annotations

import math
from collections.abc import Iterable
from operator import mul
from typing import TYPE_CHECKING

from domain import Vector
from domain.errors import InvalidEmbedding
from domain.values.embedding import VectorLike, require_dimensions, to_vector
from domain.values.search import Distance

if TYPE_CHECKING:
    from repositories.fakes.checks import Row


def query_vector(embedding: VectorLike, dimensions: int) -> Vector:
    """Return the embedding as a vector that this database can compare with its own.

    Raises:
        InvalidEmbedding: not finite, all zeros, or not of the database's dimension.
    """
    try:
        vector = to_vector(embedding)
        require_dimensions(vector, dimensions)
    except ValueError as error:
        raise InvalidEmbedding(str(error), field="embedding") from None
    return vector


def distance_between(one: Vector, other: Vector, metric: Distance) -> float:
    """Return how far apart two vectors of float32 are; the sums are of doubles."""
    left, right = one.to_list(), other.to_list()
    match metric:
        case Distance.COSINE:
            similarity = _product(left, right) / math.sqrt(
                _product(left, left) * _product(right, right)
            )
            return 1.0 - min(1.0, max(-1.0, similarity))
        case Distance.L2:
            return math.dist(left, right)
        case Distance.INNER_PRODUCT:
            return -_product(left, right)


def nearest(
    rows: Iterable[Row],
    query: Vector,
    metric: Distance,
    *,
    limit: int,
    max_distance: float | None = None,
) -> list[tuple[Row, float]]:
    """Return the rows nearest to the query and their distances, at most `max_distance` away, ties by id."""
    measured = [
        (row, distance_between(row["embedding"], query, metric))
        for row in rows
        if row["embedding"] is not None
    ]
    near = [
        (row, distance)
        for row, distance in measured
        if max_distance is None or distance <= max_distance
    ]
    return sorted(near, key=lambda found: (found[1], found[0]["id"]))[:limit]


def _product(left: list[float], right: list[float]) -> float:
    product: float = sum(map(mul, left, right))
    return product
