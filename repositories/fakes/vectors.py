"""Distances between vectors, as pgvector computes them, and the nearest rows. Always exact."""

from __future__ import annotations

import math
from collections.abc import Sequence
from operator import mul
from typing import TYPE_CHECKING

from domain import Vector
from domain.values.search import Distance
from domain.values.turns import slices, sorted_in_slices

if TYPE_CHECKING:
    from repositories.fakes.checks import Row


def distance_between(one: Vector, other: Vector, metric: Distance) -> float:
    """Return the distance between two vectors of float32; the sums are of doubles."""
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


async def nearest(rows: Sequence[Row], query: Vector, metric: Distance) -> list[tuple[Row, float]]:
    """Return the rows that have an embedding with their distances, nearest first, ties by id."""
    measured = [
        (row, distance_between(row["embedding"], query, metric))
        async for some in slices(rows)
        for row in some
        if row["embedding"] is not None
    ]
    return await sorted_in_slices(measured, lambda pair: (pair[1], pair[0]["id"]))


def _product(left: list[float], right: list[float]) -> float:
    product: float = sum(map(mul, left, right))
    return product
