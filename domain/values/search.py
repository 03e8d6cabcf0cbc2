"""Search results, their scores and thresholds, and the fusion of ranked lists.

The functions are pure: no database, no I/O.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Generic, TypedDict, TypeVar, overload

from domain.errors import InvalidInput
from domain.values.numbers import is_number, require_numbers
from domain.values.shown import shown

E_co = TypeVar("E_co", covariant=True)
K = TypeVar("K", bound=Hashable)

RRF_K: Final = 60
"""The constant of reciprocal rank fusion (Cormack, Clarke and Büttcher 2009)."""

VECTOR_WEIGHT: Final = 0.17
"""How much the vector arm of a hybrid search counts, of 1."""

STABLE_LIMIT: Final = 100
"""Up to this limit, the first n hits of a larger limit are the hits of limit n."""

ARM_DEPTH: Final = 100
"""Rows that each arm of a hybrid search ranks, whatever the limit is up to `STABLE_LIMIT`."""

DISTINCT_CANDIDATES: Final = 1_000
"""Rows of the vector index among which a search looks for distinct texts."""

DISTINCT_ROWS: Final = 50_000
"""Rows that a search for distinct texts compares one by one at most."""

_LARGE: Final = 1e300
"""A distance beyond every other one; whole numbers beyond it do not fit a float."""


class Distance(StrEnum):
    """The distance between two vectors."""

    COSINE = "cosine"
    L2 = "l2"
    INNER_PRODUCT = "inner_product"


class Match(StrEnum):
    """How many of the words of a query a row must contain."""

    ANY = "any"
    """Any word."""

    ALL = "all"
    """Every word."""

    WEB = "web"
    """Every word; quotes for a phrase, `OR`, and a minus before a word to exclude."""


class Corpus(StrEnum):
    """A kind of row that `corpora.search` covers."""

    KNOWLEDGE = "knowledge"
    MEMORIES = "memories"
    FINDINGS = "findings"


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


def arm_depth(limit: int) -> int:
    """Return how many rows each arm of a search ranks: a constant up to `STABLE_LIMIT`.

    A constant depth makes the first hits independent of the limit.
    """
    return max(ARM_DEPTH, limit)


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


def keyword_score(bm25: float) -> float:
    """Return BM25's sum as a score from 0 to 1: `b / (1 + b)`.

    It keeps the order and depends on nothing but the hit.
    """
    return bm25 / (1.0 + bm25)


class SearchOptions(TypedDict):
    """Options that the parts of one search share."""

    limit: int
    thresholds: Thresholds
    distinct: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchHit(Generic[E_co]):
    """One row of a result, with its scores and ranks.

    `score` is between 0 and 1; higher is better. `distance` and `vector_rank` come from the vector
    arm, `keyword_score` and `keyword_rank` from the keyword arm. They are None if that arm does not
    contain the row. Ranks start at 1. `corpus` names the corpus if a search covers several.
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
class SearchHits(Sequence[SearchHit[E_co]], Generic[E_co]):
    """The hits of one search, best first, ties by id.

    A diverse search returns them in the order of its choice. `exact` is True if no approximate
    index was used; otherwise `ef_search` is the length of the list of candidates of the index scan.
    `bound_reached` is True if a search for distinct texts read as many rows as it
    may and has fewer hits than its limit: further texts may exist behind the copies.
    """

    hits: tuple[SearchHit[E_co], ...] = ()
    exact: bool = field(default=True, kw_only=True)
    ef_search: int | None = field(default=None, kw_only=True)
    bound_reached: bool = field(default=False, kw_only=True)

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
    """How much each arm of a hybrid search counts; only their ratio matters.

    The confidence of an arm in its own hits changes the ratio from query to query, as
    `domain.values.fusion` describes.
    """

    vector: float = VECTOR_WEIGHT
    keyword: float = 1 - VECTOR_WEIGHT

    def __post_init__(self) -> None:
        require_numbers(vector=self.vector, keyword=self.keyword)
        if not (
            self.vector >= 0 and self.keyword >= 0 and 0 < self.vector + self.keyword < math.inf
        ):
            raise InvalidInput(
                "weights must be finite, not negative, and not both zero: vector is"
                f" {shown(self.vector)} and keyword {shown(self.keyword)}",
                field="weights",
            )


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


def fused_score(score: float, weights: Sequence[float], *, k: int = RRF_K) -> float:
    """Return a fused score as a share of the best possible one, first in every ranking: 0 to 1."""
    return min(1.0, score / (sum(weights) / (k + 1)))
