"""Options that order the hits of a search again: newer rows first, or rows that differ.

The functions are pure: no database, no I/O.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from domain.errors import InvalidInput
from domain.values.numbers import require_numbers
from domain.values.paging import require_limit
from domain.values.shown import shown

MIN_HALF_LIFE_DAYS: Final = 1e-3
MAX_HALF_LIFE_DAYS: Final = 1e6
MAX_HALVINGS: Final = 1_000
"""A weight of more halvings does not fit a float."""

DIVERSE_DEPTH: Final = 100
"""Hits among which a diverse search chooses, and its largest limit.

Each is compared with every other one, so the work is the square of this number.
"""


def diverse_depth(limit: int) -> int:
    """Return among how many hits a diverse search chooses: a constant.

    Raises:
        InvalidInput: `limit` is not a whole number from 1 to `DIVERSE_DEPTH`.
    """
    require_limit(limit)
    if limit > DIVERSE_DEPTH:
        raise InvalidInput(
            f"limit is {limit:,}, but with diversity it is at most {DIVERSE_DEPTH}: every hit is"
            " compared with every other one",
            field="limit",
        )
    return DIVERSE_DEPTH


@dataclass(frozen=True, slots=True, kw_only=True)
class Recency:
    """Weighs hits by age: a row that is `half_life_days` old counts half as much as a new one.

    The age of a passage counts from its last replacement, the age of a memory from its creation.
    Raises InvalidInput unless the half-life is 0.001 to 1,000,000 days.
    """

    half_life_days: float = 30.0

    def __post_init__(self) -> None:
        require_numbers(half_life_days=self.half_life_days)
        if not MIN_HALF_LIFE_DAYS <= self.half_life_days <= MAX_HALF_LIFE_DAYS:
            raise InvalidInput(
                "half_life_days must be between 0.001 and 1,000,000, not"
                f" {shown(self.half_life_days)}",
                field="half_life_days",
            )

    def weight(self, age: timedelta) -> float:
        """Return 0.5 ** (age / half-life), or 1 for a row from the future."""
        halvings = age / timedelta(days=1) / self.half_life_days
        return math.pow(0.5, min(MAX_HALVINGS, max(0.0, halvings)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Diversity:
    """Chooses hits that are relevant and unlike the earlier ones, by maximal marginal relevance.

    `lambda_` is the share of relevance: 1 keeps the order by score, 0 considers only the
    similarity. Raises InvalidInput outside 0 to 1.
    """

    lambda_: float = 0.5

    def __post_init__(self) -> None:
        require_numbers(lambda_=self.lambda_)
        if not 0 <= self.lambda_ <= 1:
            raise InvalidInput(
                f"lambda_ must be between 0 and 1, not {shown(self.lambda_)}", field="lambda_"
            )


def maximal_marginal_relevance(
    scores: Sequence[float], similarity: Callable[[int, int], float], *, limit: int, lambda_: float
) -> list[int]:
    """Return the places of at most `limit` candidates in the order of their choice.

    Each step chooses the candidate with the greatest `lambda_ * score - (1 - lambda_) * similarity`
    to its most similar earlier choice, ties by place. `similarity` takes the places of a candidate
    and of an earlier choice.

    Source: Carbonell and Goldstein, "The Use of MMR, Diversity-Based Reranking for Reordering
        Documents", SIGIR 1998.
    """
    chosen: list[int] = []
    left = dict.fromkeys(range(len(scores)), 0.0)
    while left and len(chosen) < limit:
        best = max(left, key=lambda place: lambda_ * scores[place] - (1 - lambda_) * left[place])
        del left[best]
        for place, nearest in left.items():
            alike = similarity(place, best)
            left[place] = max(nearest, alike) if chosen else alike
        chosen.append(best)
    return chosen
