"""What a search returns, how its scores are made, and how ranked lists are fused.

Pure: no database, no I/O.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Generic, TypeVar, overload

from domain.errors import InvalidInput

E_co = TypeVar("E_co", covariant=True)
K = TypeVar("K", bound=Hashable)

RRF_K = 60
"""The constant of reciprocal rank fusion (Cormack, Clarke and Büttcher 2009)."""


class Distance(StrEnum):
    """How far two vectors are apart."""

    COSINE = "cosine"
    L2 = "l2"
    INNER_PRODUCT = "inner_product"


class Match(StrEnum):
    """Which words of a query a row must have."""

    ANY = "any"
    ALL = "all"
    WEB = "web"


class Corpus(StrEnum):
    """What is searched."""

    KNOWLEDGE = "knowledge"
    MEMORIES = "memories"
    FINDINGS = "findings"


def vector_score(distance: float, metric: Distance) -> float:
    """Return a score from 0 to 1, higher is nearer, that depends on nothing but the hit.

    Cosine: 1 - distance, clamped. L2: 1 / (1 + distance). Inner product: the logistic function of
        the product, whose negative is
    pgvector's distance.
    """
    match metric:
        case Distance.COSINE:
            return min(1.0, max(0.0, 1.0 - distance))
        case Distance.L2:
            return 1.0 / (1.0 + distance)
        case Distance.INNER_PRODUCT:
            return 1.0 / (1.0 + math.exp(distance)) if distance < 700 else 0.0


def max_distance_for(min_score: float | None, metric: Distance) -> float | None:
    """Return the largest distance whose score is at least `min_score`, the inverse of
    `vector_score`; None where all are.

    Raises:
        InvalidInput: `min_score` is not a number.
    """
    if min_score is None:
        return None
    if not _is_number(min_score):
        raise InvalidInput("min_score must be a number", field="min_score")
    if min_score <= 0:
        return None
    # Nothing has a score above 1, however far above.
    least = float(min(min_score, 2))
    match metric:
        case Distance.COSINE:
            return 1.0 - least
        case Distance.L2:
            return 1.0 / least - 1.0
        case Distance.INNER_PRODUCT:
            return math.log(1.0 / least - 1.0) if least < 1 else -math.inf


def _is_number(value: object) -> bool:
    return isinstance(value, int) or (isinstance(value, float) and not math.isnan(value))


def keyword_score(bm25: float) -> float:
    """Return BM25's sum as a score from 0 to 1: `b / (1 + b)`.

    It keeps the order and depends on nothing but the hit.
    """
    return bm25 / (1.0 + bm25)


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchHit(Generic[E_co]):
    """One row that was found, and why.

    `score` is between 0 and 1, higher is better. `distance` and `vector_rank` are the vector arm's,
    `keyword_score` and `keyword_rank` the keyword arm's; None where that arm did not find the row
    or was not asked. Ranks count from 1. `corpus` says where the row comes from where several were
    searched.
    """

    item: E_co
    score: float
    distance: float | None = None
    vector_rank: int | None = None
    keyword_score: float | None = None
    keyword_rank: int | None = None
    matched_terms: tuple[str, ...] = ()
    corpus: Corpus | None = None


@dataclass(frozen=True, slots=True)
class SearchHits(Sequence[SearchHit[E_co]]):
    """The hits of one search, best first, ties by id; those of a diverse one in the order in which
    they were chosen.

    `exact` tells that no approximate index stood between the question and the answer.
    """

    hits: tuple[SearchHit[E_co], ...] = ()
    exact: bool = field(default=True, kw_only=True)

    @overload
    def __getitem__(self, index: int) -> SearchHit[E_co]: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[SearchHit[E_co], ...]: ...

    def __getitem__(self, index: int | slice) -> SearchHit[E_co] | tuple[SearchHit[E_co], ...]:
        return self.hits[index]

    def __len__(self) -> int:
        return len(self.hits)

    def __iter__(self) -> Iterator[SearchHit[E_co]]:
        return iter(self.hits)


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """How much each arm of a hybrid search counts; only their ratio matters for the order."""

    vector: float = 0.5
    keyword: float = 0.5

    def __post_init__(self) -> None:
        if not (
            self.vector >= 0 and self.keyword >= 0 and 0 < self.vector + self.keyword < math.inf
        ):
            raise ValueError("weights must be finite, not negative, and not both zero")


def reciprocal_rank_fusion(
    rankings: Sequence[Sequence[K]], weights: Sequence[float], *, k: int = RRF_K
) -> Mapping[K, float]:
    """Return each key's fused score: the sum of `weight / (k + rank)` over the rankings that have
    it, ranks from 1.

    Source: Cormack, Clarke and Büttcher, "Reciprocal Rank Fusion outperforms Condorcet", SIGIR
        2009; weighted.
    """
    scores: dict[K, float] = {}
    for ranking, weight in zip(rankings, weights, strict=True):
        for rank, key in enumerate(ranking, start=1):
            scores[key] = scores.get(key, 0.0) + weight / (k + rank)
    return scores


def fused_score(score: float, weights: Sequence[float], *, k: int = RRF_K) -> float:
    """Return a fused score as a share of the best possible one, first in every ranking: 0 to 1."""
    return min(1.0, score / (sum(weights) / (k + 1)))
