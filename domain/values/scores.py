"""Scores of hits from 0 to 1, and the thresholds that leave rows out.

The functions are pure: no database, no I/O.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from domain.errors import InvalidInput
from domain.values.numbers import is_number
from domain.values.search import Distance
from domain.values.shown import shown

_LARGE: Final = 1e300
"""A distance beyond every other one; whole numbers beyond it do not fit a float."""


def vector_score(distance: float, metric: Distance) -> float:
    """Return a score from 0 to 1, higher is nearer, that depends on nothing but the hit.

    Cosine: 1 - distance, clamped. L2: 1 / (1 + distance). Inner product: the logistic function of
    the product; pgvector's distance is its negative.
    """
    match metric:
        case Distance.COSINE:
            return min(1.0, max(0.0, 1.0 - distance))
        case Distance.L2:
            return 1.0 / (1.0 + distance)
        case Distance.INNER_PRODUCT:
            return 1.0 / (1.0 + math.exp(distance)) if distance < 700 else 0.0


def keyword_score(bm25: float) -> float:
    """Return BM25's sum as a score from 0 to 1: `b / (1 + b)`.

    It keeps the order and depends on nothing but the hit.
    """
    return bm25 / (1.0 + bm25)


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """The least score and the largest distance of the rows in the arms of a search.

    `min_score` applies to the score of each arm: `vector_score` of the distance, and the keyword
    score. `max_distance` applies to the vector arm alone. A row that one arm excludes can still be
    in the other. Raises InvalidInput if a value is not a number.
    """

    min_score: float | None = None
    max_distance: float | None = None

    def __post_init__(self) -> None:
        for name in ("min_score", "max_distance"):
            value = getattr(self, name)
            if value is not None and not _is_threshold(value):
                raise InvalidInput(
                    f"{name} must be a number or None, not {shown(value)}", field=name
                )

    def farthest(self, metric: Distance = Distance.COSINE) -> float:
        """Return the largest distance that both thresholds allow; 1e300 without a threshold."""
        by_score = max_distance_for(self.min_score, metric)
        limits = [limit for limit in (by_score, self.max_distance) if limit is not None]
        return float(max(-_LARGE, min([_LARGE, *limits])))

    @property
    def least_keyword_score(self) -> float:
        """The smallest keyword score that is allowed; 0, which every match has, without one."""
        return 0.0 if self.min_score is None else float(min(2, max(0, self.min_score)))


def max_distance_for(min_score: float | None, metric: Distance) -> float | None:
    """Return the largest distance whose `vector_score` is at least `min_score`, if there is one.

    Raises:
        InvalidInput: `min_score` is not a number.
    """
    if min_score is None:
        return None
    if not _is_threshold(min_score):
        raise InvalidInput(f"min_score must be a number, not {shown(min_score)}", field="min_score")
    if min_score <= 0:
        return None
    # No score is above 1, so a larger threshold excludes every row.
    return _largest_distance(float(min(min_score, 2)), metric)


def _largest_distance(least: float, metric: Distance) -> float:
    """Return the largest distance whose score is at least `least`.

    The inverse functions of the scores round: with them, the score of a hit as the threshold would
    exclude that hit. Halving an interval finds the distance exactly, in about sixty steps.
    """
    near, far = _bounds(least, metric)
    if vector_score(near, metric) < least:
        return -math.inf
    while near < (middle := (near + far) / 2) < far:
        if vector_score(middle, metric) >= least:
            near = middle
        else:
            far = middle
    return near


def _bounds(least: float, metric: Distance) -> tuple[float, float]:
    """Return a distance whose score is 1, and one whose score is below `least`."""
    match metric:
        case Distance.COSINE:
            return -1.0, 3.0
        case Distance.L2:
            return 0.0, min(2.0 / max(least, 1 / _LARGE), _LARGE)
        case Distance.INNER_PRODUCT:
            return -50.0, 750.0


def _is_threshold(value: object) -> bool:
    # A NaN compares with nothing. `math.isnan` fails for an integer that no float can hold.
    return is_number(value) and not (isinstance(value, float) and math.isnan(value))
