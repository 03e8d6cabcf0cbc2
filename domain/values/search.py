"""Options and results of searches."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Generic, TypeVar, overload

from domain.errors import InvalidInput
from domain.values.numbers import require_numbers
from domain.values.shown import shown

E_co = TypeVar("E_co", covariant=True)

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


def arm_depth(limit: int) -> int:
    """Return how many rows each arm of a search ranks: a constant up to `STABLE_LIMIT`.

    A constant depth makes the first hits independent of the limit.
    """
    return max(ARM_DEPTH, limit)


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
