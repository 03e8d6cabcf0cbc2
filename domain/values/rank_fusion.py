"""Reciprocal rank fusion: several ranked lists become one.

The functions are pure: no database, no I/O.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Final, TypeVar

K = TypeVar("K", bound=Hashable)

RRF_K: Final = 60
"""The constant of reciprocal rank fusion (Cormack, Clarke and Büttcher 2009)."""


def reciprocal_rank_fusion(
    rankings: Sequence[Sequence[K]], weights: Sequence[float], *, k: int = RRF_K
) -> Mapping[K, float]:
    """Return the fused score of each key: the sum of `weight / (k + rank)` over the rankings.

    Ranks start at 1. Source: Cormack, Clarke and Büttcher, "Reciprocal Rank Fusion outperforms
    Condorcet", SIGIR 2009; the weights are an addition.
    """
    scores: dict[K, float] = {}
    for ranking, weight in zip(rankings, weights, strict=True):
        for rank, key in enumerate(ranking, start=1):
            scores[key] = scores.get(key, 0.0) + weight / (k + rank)
    return scores


def share_of_best(score: float, weights: Sequence[float], *, k: int = RRF_K) -> float:
    """Return a fused score as a share of the best possible one, first in every ranking: 0 to 1."""
    return min(1.0, score / (sum(weights) / (k + 1)))
