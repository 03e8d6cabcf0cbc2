"""Values of other types than declared are refused with the name of the field and advice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pydantic import ValidationError

from domain import (
    Cursor,
    Diversity,
    InvalidCursor,
    InvalidFilter,
    InvalidInput,
    Recency,
    Review,
    Weights,
    where,
)
from repositories import FakeDatabase

A_FILTER: Any = where("repo").equals("a/b")
UNFINISHED: Any = where("repo")


@pytest.mark.parametrize(
    ("make", "field", "value"),
    [
        (Weights, "vector", "x"),
        (Weights, "keyword", True),
        (Recency, "half_life_days", "7"),
        (Diversity, "lambda_", None),
    ],
)
def test_options_of_searches_are_numbers(make: Callable[..., Any], field: str, value: Any) -> None:
    with pytest.raises(InvalidInput, match=f"{field} must be a number, not") as refusal:
        make(**{field: value})
    assert refusal.value.field == field


async def test_an_id_and_a_class_are_refused_with_advice() -> None:
    wrong: Any = Review
    short: Any = "7"
    async with FakeDatabase().reader() as view:
        with pytest.raises(InvalidInput, match="pass the id of an entity, or the text of one"):
            await view.reviews.find(short)
        with pytest.raises(InvalidInput, match=r"not the class Review$"):
            await view.reviews.find(wrong)
        with pytest.raises(InvalidInput, match=r"repo must be text, not the class Review$"):
            await view.reviews.stats(wrong)


@pytest.mark.parametrize("text", [None, b"x", 5])
def test_a_cursor_is_read_from_text(text: Any) -> None:
    with pytest.raises(InvalidCursor, match=r"pass str\(cursor\)"):
        Cursor.parse(text)


@pytest.mark.parametrize("value", [None, 5, [("repo", "a/b")], "x", object()])
def test_an_entity_is_validated_from_a_mapping(value: Any) -> None:
    with pytest.raises(ValidationError):
        Review.model_validate(value)


@pytest.mark.parametrize(
    "combine",
    [
        lambda: A_FILTER & True,
        lambda: A_FILTER | UNFINISHED,
        lambda: ~UNFINISHED,
        lambda: UNFINISHED & A_FILTER,
        lambda: UNFINISHED < 5,
        lambda: UNFINISHED >= 5,
        lambda: not UNFINISHED,
    ],
)
def test_only_filters_are_combined(combine: Callable[[], object]) -> None:
    with pytest.raises(InvalidFilter, match="write where") as refusal:
        combine()
    assert refusal.value.field == "where"
