"""The pure parts of reranking and of searching several corpora."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain import (
    Corpus,
    LearningMemory,
    Recency,
    SearchHit,
    SearchHits,
    maximal_marginal_relevance,
)
from domain.values.corpora import fuse_corpora
from tests.contract.suites.samples import memory

shares = st.floats(0, 1)


@pytest.mark.parametrize(
    ("days", "weight"), [(0, 1), (30, 0.5), (60, 0.25), (15, 0.5**0.5), (-5, 1)]
)
def test_a_weight_is_halved_with_every_half_life(days: float, weight: float) -> None:
    assert Recency().weight(timedelta(days=days)) == pytest.approx(weight)


@given(st.timedeltas(), st.floats(1e-3, 1e6))
def test_every_age_has_a_weight_between_nothing_and_one(age: timedelta, half_life: float) -> None:
    assert 0 < Recency(half_life_days=half_life).weight(age) <= 1


def test_what_is_chosen_is_relevant_and_unlike_what_was_chosen_before() -> None:
    alike = {frozenset((0, 1)): 0.9, frozenset((0, 2)): 0.1, frozenset((1, 2)): 0.2}
    # By hand, with λ = 0.5: 0 has the best score; then 1 is worth 0.475 - 0.45, and 2 is worth 0.4
    # - 0.05.
    chosen = maximal_marginal_relevance(
        [1.0, 0.95, 0.8], lambda one, other: alike[frozenset((one, other))], limit=3, lambda_=0.5
    )
    assert chosen == [0, 2, 1]


def test_likeness_is_that_to_the_most_similar_one() -> None:
    alike = {
        frozenset((0, 1)): -0.5,
        frozenset((0, 2)): 0.3,
        frozenset((1, 2)): 0.6,
        frozenset((0, 3)): 0.4,
        frozenset((1, 3)): 0.5,
    }
    chosen = maximal_marginal_relevance(
        [1.0, 0.5, 0.5, 0.5],
        lambda one, other: alike.get(frozenset((one, other)), 0.0),
        limit=3,
        lambda_=0.5,
    )
    assert chosen == [0, 1, 3]


@given(st.lists(shares, max_size=8), shares, st.integers(1, 10), st.randoms(use_true_random=False))
def test_each_candidate_is_chosen_at_most_once(
    scores: list[float], lambda_: float, limit: int, chance: object
) -> None:
    chosen = maximal_marginal_relevance(
        scores, lambda one, other: (one * 7 + other * 3) % 5 / 5, limit=limit, lambda_=lambda_
    )
    assert len(chosen) == len(set(chosen)) == min(limit, len(scores))


@given(st.lists(shares, max_size=8))
def test_with_relevance_alone_the_order_is_that_of_the_scores(scores: list[float]) -> None:
    chosen = maximal_marginal_relevance(scores, lambda _one, _other: 1.0, limit=8, lambda_=1)
    assert chosen == sorted(range(len(scores)), key=lambda place: -scores[place])


def _hits(
    *memories: tuple[LearningMemory, float], exact: bool = True
) -> SearchHits[LearningMemory]:
    return SearchHits(
        tuple(SearchHit(item=item, score=score) for item, score in memories), exact=exact
    )


def test_of_equal_ranks_the_better_score_comes_first_then_the_lower_id() -> None:
    low, high, best = (memory(f"text {n}", id=UUID(int=n)) for n in (1, 2, 3))
    hits = {
        Corpus.KNOWLEDGE: SearchHits[LearningMemory](),
        Corpus.MEMORIES: _hits((best, 0.9), (high, 0.2)),
    }
    fused = fuse_corpora(hits, {}, limit=5, distinct=True)
    assert [hit.item for hit in fused] == [best, high]
    pair = {Corpus.MEMORIES: _hits((high, 0.2)), Corpus.KNOWLEDGE: SearchHits[LearningMemory]()}
    assert [hit.item for hit in fuse_corpora(pair, {}, limit=5, distinct=True)] == [high]
    assert not fuse_corpora(
        {Corpus.MEMORIES: _hits((low, 0.1), exact=False)}, {}, limit=5, distinct=True
    ).exact


def test_what_repeats_only_a_repetition_stays() -> None:
    first, second, third = (memory(f"text {n}", id=UUID(int=n)) for n in (1, 2, 3))
    alike = {second.id: [first.id, third.id]}
    hits = fuse_corpora(
        {Corpus.MEMORIES: _hits((first, 0.9), (second, 0.8), (third, 0.7))},
        alike,
        limit=5,
        distinct=True,
    )
    assert [hit.item for hit in hits] == [first, third]
