"""The fusion of the two arms of a hybrid search: a convex combination of normalised scores.

The functions are pure: no database, no I/O. PostgreSQL computes the same in one statement.

Source: Bruch, Gai and Ingber, "An Analysis of Fusion Functions for Hybrid Retrieval", TOIS 2023.
The confidence of an arm is an addition: it changes the weights of one query by the scores of its
arms. The constants were chosen on some collections and checked on others; see the search page.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Hashable, Mapping
from statistics import pstdev
from typing import Final, TypeVar

from domain.values.search import Weights

K = TypeVar("K", bound=Hashable)

EVEN_SPREAD: Final = 0.58
"""Added to the logarithm of the rows: the range in standard deviations of an arm that fades evenly.

The largest of n exponential values is that far from the smallest one (Euler's constant).
"""

SPREAD_POWER: Final = 2
"""Power of the spread of the vector arm. An arm with a few rows far ahead of the others counts
more.
"""

SMALLEST_RANGE: Final = 1e-9
"""Scores that differ by less are equal: a difference of rounding is not a difference of rank."""

ROUNDING: Final = 1e9
"""Fused scores are rounded to this fraction, so that equal ones are ordered by id everywhere."""


def normalized(scores: Mapping[K, float]) -> dict[K, float]:
    """Return the scores of an arm between 1, the best one, and 1 / (rows + 1), the worst one.

    The worst one is above 0, the score of a row that is not in the arm.
    """
    if not scores:
        return {}
    low, high = min(scores.values()), max(scores.values())
    if high - low <= SMALLEST_RANGE:
        return dict.fromkeys(scores, 1.0)
    floor = 1.0 / (len(scores) + 1)
    return {
        key: floor + (1.0 - floor) * (score - low) / (high - low) for key, score in scores.items()
    }


def vector_confidence(distances: Collection[float]) -> float:
    """Return how far the nearest rows stand out from the rows of the arm; 1 is usual.

    It is the range of the distances in standard deviations, as a share of the range of an arm that
    fades evenly, squared. An arm of fewer than three rows, or of equal distances, has
    the confidence 1.
    """
    if len(distances) < 3 or max(distances) - min(distances) <= SMALLEST_RANGE:
        return 1.0
    spread = (max(distances) - min(distances)) / pstdev(distances)
    return math.pow(spread / (EVEN_SPREAD + math.log(len(distances))), SPREAD_POWER)


def keyword_confidence(best: float, possible: float) -> float:
    """Return how much of the query the best row contains, 0 to 1.

    It is its BM25 as a share of the most that a row can have. Short queries of rare words are
    answered by words; of a long question the best row contains a small part.
    """
    return min(1.0, best / possible)


def arm_shares(
    distances: Mapping[K, float],
    relevances: Mapping[K, float],
    *,
    possible: float,
    weights: Weights,
) -> tuple[dict[K, float], dict[K, float]]:
    """Return what each arm adds to the fused score of its rows: 0 to 1 in sum.

    The fused score is the mean of the normalised scores of both arms, 0 for an arm without the row.
    Each arm is weighted by its weight times its confidence; an arm without rows has no weight.

    Args:
        distances: the distances of the rows of the vector arm.
        relevances: the BM25 of the rows of the keyword arm.
        possible: the most BM25 that a row can have for this query.
        weights: how much each arm counts.
    """
    vector = weights.vector * vector_confidence(distances.values()) if distances else 0.0
    keyword = 0.0
    if relevances:
        keyword = weights.keyword * keyword_confidence(max(relevances.values()), possible)
    total = vector + keyword or 1.0
    near = normalized({key: -distance for key, distance in distances.items()})
    return (
        {key: vector * score / total for key, score in near.items()},
        {key: keyword * score / total for key, score in normalized(relevances).items()},
    )


def fused_score(by_vector: float, by_keyword: float) -> float:
    """Return the sum of the shares of both arms, rounded."""
    return math.floor((by_vector + by_keyword) * ROUNDING + 0.5) / ROUNDING
