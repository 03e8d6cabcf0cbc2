"""Values without a database: JSON, pages, scores, fusion, fingerprints."""

from __future__ import annotations

import base64
import json
import math
import re
import time
from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import islice
from typing import Any
from uuid import UUID, uuid4

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import create_model

from domain import (
    Cursor,
    Distance,
    InvalidCursor,
    InvalidFilter,
    InvalidInput,
    SearchHit,
    SearchHits,
    Weights,
    keyword_score,
    reciprocal_rank_fusion,
    run_key,
    title_fingerprint,
    vector_score,
    where,
)
from domain.values.filter_bounds import require_bounded
from domain.values.filter_values import to_decimal
from domain.values.filters import MAX_CHOICES
from domain.values.fusion import (
    arm_shares,
    fused_score,
    keyword_confidence,
    normalized,
    vector_confidence,
)
from domain.values.jsonb import MAX_CHARACTERS, MAX_VALUES, normalise
from domain.values.rank_fusion import RRF_K, share_of_best
from domain.values.scores import max_distance_for
from tests.contract.suites.samples import Masked


class Shown(float):
    """A number that shows its class, as those of NumPy do."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"Shown({float(self)})"


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@given(JSON)
def test_normalising_json_twice_changes_nothing_more(value: object) -> None:
    once = normalise(value)
    assert normalise(once) == once
    assert json.loads(json.dumps(once)) == once


@pytest.mark.parametrize(
    ("value", "expected"),
    [(1e22, 10**22), (-0.0, 0.0), (1.5, 1.5), (1e-7, 1e-7), (1e2, 100.0), ((1, 2), [1, 2])],
)
def test_numbers_are_normalised_as_by_jsonb(value: object, expected: object) -> None:
    assert normalise(value) == expected
    assert type(normalise(value)) is type(expected) or isinstance(expected, list)


@pytest.mark.parametrize(
    ("value", "advice"),
    [
        (datetime(2026, 1, 1, tzinfo=UTC), "datetime is not JSON: write value.isoformat()"),
        (date(2026, 1, 1), "write value.isoformat()"),
        (UUID(int=7), "write str(value)"),
        (Decimal("0.5"), "write float(value)"),
        (np.int64(7), "write int(value)"),
        (np.float32(7), "write float(value)"),
        (b"x", "base64"),
        ({1}, "set is not JSON: write list(value)"),
        (np.bool_(True), "write value.tolist()"),
        (np.zeros((2, 2)), "ndarray is not JSON: write value.tolist()"),
        (create_model("Model")(), "model_dump(mode='json')"),
        (object(), "a mapping with text as keys"),
        ({1: 2}, "a JSON key must be text, not int: write str(key)"),
    ],
)
def test_a_refusal_of_json_says_what_to_write(value: object, advice: str) -> None:
    with pytest.raises(ValueError, match=re.escape(advice)):
        normalise(value)


def deep(levels: int) -> object:
    value: object = 1
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    "value",
    [
        math.nan,
        math.inf,
        {1: 2},
        {"a": object()},
        "\0",
        {"\0": 1},
        "\ud800",
        b"x",
        {1},
        deep(200),
        10**1001,
        [0] * (MAX_VALUES + 1),
        {"a": [[0, 1]] * (MAX_VALUES // 3), "b": {"c": 1}},
        ["x" * (MAX_CHARACTERS + 1)],
    ],
)
def test_values_that_jsonb_refuses_raise(value: object) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        normalise(value)


@given(st.uuids(), st.booleans())
def test_a_cursor_survives_its_text(key: UUID, descending: bool) -> None:
    cursor = Cursor(listing="Finding", descending=descending, id=key)
    assert Cursor.parse(str(cursor)) == cursor
    assert cursor.require("Finding", descending=descending) == key


@given(st.text())
@example("")
@example("é")
@example("a" * 2000)
@example(base64.urlsafe_b64encode(b'["Finding",1,"x"]').decode())
@example(base64.urlsafe_b64encode(b'["Finding",true,"x"]').decode())
@example(base64.urlsafe_b64encode(b"[" * 500).decode())
def test_any_other_text_is_not_a_cursor(text: str) -> None:
    with pytest.raises(InvalidCursor):
        Cursor.parse(text)


def test_a_cursor_belongs_to_one_listing_and_direction() -> None:
    cursor = Cursor(listing="Finding", descending=False, id=uuid4())
    for listing, descending in (("Review", False), ("Finding", True)):
        with pytest.raises(InvalidCursor):
            cursor.require(listing, descending=descending)


@given(st.sampled_from(Distance), st.floats(0, 2), st.floats(0, 2))
def test_scores_are_shares_that_fall_with_distance(
    metric: Distance, near: float, far: float
) -> None:
    near, far = sorted((near, far))
    assert 0 <= vector_score(far, metric) <= vector_score(near, metric) <= 1


@pytest.mark.parametrize("metric", list(Distance))
@pytest.mark.parametrize("distance", [0.01, 0.3, 0.9])
def test_the_distance_of_a_score_is_its_inverse(metric: Distance, distance: float) -> None:
    assert max_distance_for(vector_score(distance, metric), metric) == pytest.approx(distance)


@given(st.sampled_from(Distance), st.floats(0, 5, exclude_min=True))
def test_a_score_is_a_threshold_that_its_distance_meets(metric: Distance, distance: float) -> None:
    score = vector_score(distance, metric)
    farthest = max_distance_for(score, metric)
    assert farthest is None if score == 0 else farthest is not None and farthest >= distance
    if farthest is not None:
        assert vector_score(math.nextafter(farthest, math.inf), metric) < score


@pytest.mark.parametrize("metric", list(Distance))
def test_no_distance_has_a_score_above_one(metric: Distance) -> None:
    assert max_distance_for(1.01, metric) == -math.inf


@pytest.mark.parametrize(("distance", "score"), [(-1e9, 1.0), (1e9, 0.0), (0, 0.5)])
def test_an_inner_product_of_any_size_has_a_score(distance: float, score: float) -> None:
    assert vector_score(distance, Distance.INNER_PRODUCT) == pytest.approx(score)


def test_keyword_scores_keep_the_order() -> None:
    scores = [keyword_score(value) for value in (0.0, 0.1, 1.0, 30.0)]
    assert scores == sorted(scores)
    assert all(0 <= score < 1 for score in scores)


def test_fusion_adds_weighted_reciprocal_ranks() -> None:
    fused = reciprocal_rank_fusion([["a", "b"], ["b", "c"]], [0.7, 0.3])
    assert fused == pytest.approx({"a": 0.7 / 61, "b": 0.7 / 62 + 0.3 / 61, "c": 0.3 / 62})
    assert share_of_best(fused["a"], [0.7, 0.3]) == pytest.approx(0.7)
    assert share_of_best(1 / (RRF_K + 1), [0.5, 0.5]) == 1


def test_scores_of_an_arm_are_normalised_and_the_worst_one_is_above_zero() -> None:
    assert normalized({"a": 9.0, "b": 5.0, "c": 1.0}) == {"a": 1.0, "b": 0.625, "c": 0.25}
    assert normalized({"a": 2.0, "b": 2.0 + 1e-12}) == {"a": 1.0, "b": 1.0}
    assert normalized({}) == {}


def test_a_vector_arm_with_one_row_far_ahead_is_more_confident_than_an_even_one() -> None:
    even = vector_confidence([rank / 100 for rank in range(100)])
    fading = vector_confidence([math.log(rank) / 10 for rank in range(1, 101)])
    ahead = vector_confidence([0.1, *(0.5 + rank / 2_000 for rank in range(99))])
    assert even < fading < ahead
    assert fading == pytest.approx(1.0, abs=0.2)
    assert vector_confidence([0.1, 0.9]) == vector_confidence([0.5] * 9) == 1.0


def test_the_keyword_arm_is_as_confident_as_its_best_row_contains_the_query() -> None:
    assert keyword_confidence(2.5, 10.0) == 0.25
    assert keyword_confidence(10.0, 10.0) == keyword_confidence(10.1, 10.0) == 1.0


def test_each_arm_adds_its_share_by_weight_and_confidence() -> None:
    near, words = arm_shares(
        {"a": 0.2, "b": 0.4},
        {"b": 4.0, "c": 1.0},
        possible=16.0,
        weights=Weights(vector=1, keyword=4),
    )
    # The keyword arm counts 4 * (4 / 16), as much as the vector arm.
    assert near == pytest.approx({"a": 0.5, "b": 0.5 / 3})
    assert words == pytest.approx({"b": 0.5, "c": 0.5 / 3})
    assert fused_score(near["b"], words["b"]) == pytest.approx(2 / 3)


def test_an_arm_without_rows_or_without_weight_adds_nothing() -> None:
    near, words = arm_shares({"a": 0.2, "b": 0.4}, {}, possible=0.0, weights=Weights())
    assert near == pytest.approx({"a": 1.0, "b": 1 / 3})
    assert words == {}
    nothing = Weights(vector=0, keyword=1)
    assert arm_shares({"a": 0.2}, {}, possible=0.0, weights=nothing) == ({"a": 0.0}, {})


@pytest.mark.parametrize("weights", [(-1, 1), (0, 0), (math.nan, 1), (math.inf, 1)])
def test_invalid_weights_are_refused(weights: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="weights"):
        Weights(vector=weights[0], keyword=weights[1])


def test_hits_are_a_sequence() -> None:
    hits = SearchHits((SearchHit(item="a", score=1.0), SearchHit(item="b", score=0.5)), exact=False)
    assert [hit.item for hit in hits] == ["a", "b"]
    assert (len(hits), hits[0].item, [hit.item for hit in hits[1:]], hits.exact) == (
        2,
        "a",
        ["b"],
        False,
    )


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("Retries never end", "retries  never end!", True),
        ("parse_config fails", "parse config fails", True),
        ("\uff26\uff55\uff4c\uff4c width", "full width", True),
        ("再試行が終わらない", "型が違う", False),
        ("Ошибка", "Предупреждение", False),
        ("!!!", "???", False),
        ("off by 1", "off by 2", False),
        ("HTTP 404", "HTTP 500", False),
        ("a < b is always true", "a > b is always true", False),
        ("a<b is always true", "a < b is always true", True),
        ("a <= b", "a < b", False),
        ("a && b", "a || b", False),
        ("a & b", "a | b", False),
        ("a ?? b", "a ?: b", False),
        ("a * b", "a / b", False),
        ("use === instead of ==", "use == instead of ===", False),
        ("x != None", "x == None", False),
        ("memory leak in C++", "memory leak in C#", False),
        ("memory leak in C++.", '"memory leak" in (C++)', True),
        ("i++ overflows", "i-- overflows", False),
        ("returns -1", "returns 1", False),
        ("targets .NET", "targets NET", False),
        ("!ready is never true", "ready is never true", False),
        ("%s is not closed", "s is not closed", False),
        ("a::b is missing", "a.b is missing", False),
        ("a?.b is missing", "a.b is missing", False),
        ("use [] instead of ()", "use () instead of []", False),
        ("use {} instead of dict()", "use {} instead of dict", True),
        ("costs 5 €", "costs 5 $", False),
        ("well-known", "well known", True),
        ("unused \u2013 remove", "unused - remove", True),
        ("'x' is unused", "`x` is unused", True),
        ("Attention !", "Attention!", True),
        ("\u26a0\ufe0f unsafe", "\u26a0 unsafe", True),
        ("\u0915\u093f", "\u0915\u093e", False),
    ],
)
def test_fingerprints_tell_titles_apart_by_letters_digits_and_symbols(
    one: str, other: str, same: bool
) -> None:
    assert (title_fingerprint(one) == title_fingerprint(other)) is same


@pytest.mark.parametrize("title", [None, 7, b"line too long"])
def test_a_title_that_is_no_text_is_refused(title: Any) -> None:
    with pytest.raises(InvalidInput, match="title must be text"):
        title_fingerprint(title)


def test_a_title_of_combining_marks_has_a_fingerprint_in_linear_time() -> None:
    start = time.thread_time()
    title_fingerprint("\u0301\u0316" * 50_000)
    assert time.thread_time() - start < 1


def test_a_title_that_cannot_be_stored_has_a_fingerprint() -> None:
    assert title_fingerprint("\ud800") != title_fingerprint("\udc00")


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ((None, 7, "base", "head"), "repo"),
        (("acme/api", "7", "base", "head"), "pr_number"),
        (("acme/api", True, "base", "head"), "pr_number"),
        (("acme/api", 7, b"base", "head"), "base_sha"),
        (("acme/api", 7, "base", None), "head_sha"),
    ],
)
def test_a_run_key_of_other_types_is_refused(arguments: Any, field: str) -> None:
    with pytest.raises(InvalidInput, match=f"{field} must be") as refusal:
        run_key(*arguments)
    assert refusal.value.field == field


def test_a_run_key_names_repository_pull_request_base_and_head() -> None:
    key = run_key("acme/api", 7, "base", "head")
    assert key == run_key("acme/api", 7, "base", "head")
    others = [
        ("acme/web", 7, "base", "head"),
        ("acme/api", 8, "base", "head"),
        ("acme/api", 7, "b", "head"),
        ("acme/api", 7, "base", "h"),
    ]
    assert key not in {run_key(*other) for other in others}


def test_text_of_another_class_is_the_text_that_it_is() -> None:
    masked = Masked("acme/api")
    assert normalise({masked: [masked]}) == {"acme/api": ["acme/api"]}
    assert run_key(masked, 7, masked, "head") == run_key("acme/api", 7, "acme/api", "head")


def test_numbers_of_another_class_are_the_numbers_that_they_are() -> None:
    assert repr(normalise([Shown(1e22), Shown(0.5)])) == "[10000000000000000000000, 0.5]"
    assert to_decimal(Shown(1e-8)) == Decimal("0.00000001")


def test_a_filter_copies_no_more_values_than_show_that_they_are_too_many() -> None:
    numbers = iter(range(1_000_000))
    require_bounded(where("pr_number").one_of(islice(numbers, MAX_CHOICES)))
    with pytest.raises(InvalidFilter, match="at most 10,000 values"):
        require_bounded(where("pr_number").one_of(numbers))
    assert next(numbers) == 2 * MAX_CHOICES + 1
