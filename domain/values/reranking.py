"""Options that order what was found once more.

Newer rows first, or rows that do not repeat each other. Pure.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from domain.errors import InvalidInput

MIN_HALF_LIFE_DAYS, MAX_HALF_LIFE_DAYS = 1e-3, 1e6
MAX_HALVINGS = 1_000
"""Beyond it a weight would be too small for a float."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recency:
    """Weighs what was found by its age: a row `half_life_days` old counts half as much as a new
    one.

    A passage's age is that of its last replacement, a memory's that of its creation. Raises
    InvalidInput unless the half-life is 0.001 to 1,000,000 days.
    """

    half_life_days: float = 30.0

    def __post_init__(self) -> None:
        if not MIN_HALF_LIFE_DAYS <= self.half_life_days <= MAX_HALF_LIFE_DAYS:
            raise InvalidInput("a half-life is 0.001 to 1,000,000 days", field="half_life_days")

    def weight(self, age: timedelta) -> float:
        """Return the weight of a row of this age.

        0.5 ** (age / half-life), and 1 for one from the future.
        """
        halvings = age / timedelta(days=1) / self.half_life_days
        return math.pow(0.5, min(MAX_HALVINGS, max(0.0, halvings)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Diversity:
    """Chooses rows that are relevant and unlike those chosen before, by maximal marginal relevance.

    `lambda_` is the share of relevance: 1 is the order without it, 0 looks at likeness alone.
    Raises InvalidInput outside 0 to 1.
    """

    lambda_: float = 0.5

    def __post_init__(self) -> None:
        if not 0 <= self.lambda_ <= 1:
            raise InvalidInput("lambda_ is 0 to 1", field="lambda_")


def maximal_marginal_relevance(
    scores: Sequence[float], similarity: Callable[[int, int], float], *, limit: int, lambda_: float
) -> list[int]:
    """Return the places of at most `limit` candidates in the order in which they are chosen.

    Each time it is the candidate with the greatest `lambda_ * score - (1 - lambda_) * similarity`
    to the most similar one chosen before; of equals the first. `similarity` is asked for the
    candidate and one that was chosen.

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
