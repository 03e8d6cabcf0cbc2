"""Filters: valid conditions of an entity, and the rows that match."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any, ClassVar
from uuid import UUID

import pytest

from domain import (
    DependencyBumpMerge,
    Entity,
    Filter,
    Finding,
    InvalidFilter,
    KnowledgeChunk,
    Review,
    ReviewCheckpoint,
    Severity,
    TelemetryEvent,
    where,
)
from domain.values.filter_bounds import MAX_NESTING
from domain.values.filter_rules import check_filter, column_name
from domain.values.filters import (
    MAX_CHOICES,
    MAX_CONDITIONS,
    MAX_PATH,
    AllOf,
    AnyOf,
    Compare,
    Exists,
    OneOf,
)
from domain.values.jsonb import normalise
from repositories.fakes.filters import meeting

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
KEY = UUID(int=7)


class TestRules:
    @pytest.mark.parametrize(
        ("entity", "column", "value", "expected"),
        [
            (Finding, "severity", "major", Severity.MAJOR),
            (Finding, "confidence", 90.0, 90),
            (Finding, "confidence", Decimal(90), 90),
            (Review, "id", str(KEY), KEY),
            (Review, "created_at", NOON.astimezone(timezone(timedelta(hours=5))), NOON),
            (TelemetryEvent, "cost_usd", 0.1, Decimal("0.1")),
            (TelemetryEvent, "cost_usd", 1, Decimal(1)),
            (TelemetryEvent, "input_tokens", 2**40, 2**40),
            (KnowledgeChunk, "stale", True, True),
            (KnowledgeChunk, "title", "Ü", "Ü"),
        ],
    )
    def test_a_value_becomes_what_its_column_holds(
        self, entity: type[Entity], column: str, value: Any, expected: Any
    ) -> None:
        checked = check_filter(where(column).equals(value), entity)
        assert isinstance(checked, Compare)
        assert (checked.value, type(checked.value)) == (expected, type(expected))

    @pytest.mark.parametrize(
        ("entity", "path", "value"),
        [
            (Review, ("pr_number",), "7"),
            (Review, ("pr_number",), True),
            (Review, ("pr_number",), 7.5),
            (Review, ("pr_number",), 2**31),
            (Review, ("pr_number",), float("nan")),
            (Review, ("repo",), 7),
            (Review, ("repo",), "a\0b"),
            (Review, ("created_at",), NOON.replace(tzinfo=None)),
            (Review, ("created_at",), "2026-01-02"),
            (Review, ("id",), "no id"),
            (Finding, ("severity",), "terrible"),
            (Finding, ("suppressed",), 1),
            (TelemetryEvent, ("cost_usd",), Decimal("1e2000")),
            (KnowledgeChunk, ("embedding",), 1),
            (KnowledgeChunk, ("content_hash",), "abc"),
            (KnowledgeChunk, ("metadata",), "a"),
            (KnowledgeChunk, ("metadata", "a"), Decimal(1)),
            (KnowledgeChunk, ("metadata", "a"), NOON.replace(tzinfo=None)),
            (KnowledgeChunk, ("metadata", "a"), float("inf")),
            (KnowledgeChunk, ("title", "a"), "b"),
            (KnowledgeChunk, ("search_vector",), "a"),
            (KnowledgeChunk, ("nothing",), "a"),
            (ReviewCheckpoint, ("checkpoint_data",), "a"),
        ],
    )
    def test_what_cannot_be_compared_is_refused(
        self, entity: type[Entity], path: tuple[str, ...], value: Any
    ) -> None:
        for condition in (
            where(*path).equals(value),
            where(*path).one_of([value]),
            ~where(*path).at_least(value),
        ):
            with pytest.raises(InvalidFilter) as raised:
                check_filter(condition, entity)
            assert raised.value.field == path[0]
            assert len(str(value)) < 3 or repr(value) not in str(raised.value)

    @pytest.mark.parametrize(
        ("entity", "path", "value"),
        [
            (Finding, ("severity",), "major"),
            (Finding, ("suppressed",), True),
            (KnowledgeChunk, ("metadata", "a"), False),
        ],
    )
    def test_what_has_no_order_can_only_be_equal(
        self, entity: type[Entity], path: tuple[str, ...], value: Any
    ) -> None:
        check_filter(where(*path).equals(value) & where(*path).one_of([value]), entity)
        for compare in (
            where(*path).less_than,
            where(*path).at_most,
            where(*path).greater_than,
            where(*path).at_least,
        ):
            with pytest.raises(InvalidFilter):
                check_filter(compare(value), entity)

    def test_whatever_is_not_a_column_to_compare_may_still_exist(self) -> None:
        for column in ("embedding", "metadata", "content_hash"):
            assert check_filter(where(column).exists(), KnowledgeChunk) == Exists((column,))
        in_json = where("signals", "a").exists()
        assert check_filter(in_json, DependencyBumpMerge) == Exists(("signals", "a"))

    @pytest.mark.parametrize(
        "condition",
        [
            AllOf((where("repo").exists(),) * (MAX_CONDITIONS + 1)),
            where("repo").one_of(map(str, range(MAX_CHOICES + 1))),
            where("metadata", *["a"] * (MAX_PATH + 1)).exists(),
            where("metadata", "a\0").exists(),
        ],
    )
    def test_what_is_too_large_is_refused(self, condition: Filter) -> None:
        with pytest.raises(InvalidFilter):
            check_filter(condition, KnowledgeChunk)

    @pytest.mark.parametrize(
        ("name", "advice"),
        [
            ("repos", "did you mean 'repo'"),
            ("metadata_text", "did you mean 'metadata'"),
            ("colour", "its columns are tenant, id"),
            ("x" * 1_000_000, "its columns are tenant, id"),
        ],
        ids=["similar", "field", "unknown", "long"],
    )
    def test_an_unknown_column_is_refused_with_the_names_of_columns(
        self, name: str, advice: str
    ) -> None:
        with pytest.raises(InvalidFilter, match=advice):
            check_filter(where(name).exists(), KnowledgeChunk)

    def test_what_is_nested_too_deep_is_refused_before_it_exhausts_the_stack(self) -> None:
        condition = where("repo").exists()
        for _ in range(MAX_NESTING):
            condition = ~condition
        check_filter(condition, Review)
        for _ in range(100_000):
            condition = ~condition
        with pytest.raises(InvalidFilter):
            check_filter(condition, Review)

    def test_what_is_no_filter_is_refused(self) -> None:
        for condition in (Filter(), "repo = 'a'", AllOf(("repo",)), Compare((), "=", 1)):  # type: ignore[arg-type]  # that is the point
            with pytest.raises(InvalidFilter):
                check_filter(condition, Review)  # type: ignore[arg-type]  # likewise

    def test_a_column_has_its_fields_name_but_for_the_underscore_that_sets_it_apart(self) -> None:
        assert (column_name(KnowledgeChunk, "metadata_"), column_name(Review, "repo")) == (
            "metadata",
            "repo",
        )


class TestRows:
    ROW: ClassVar[dict[str, Any]] = {
        "repo": "acme/api",
        "title": None,
        "token_count": 5,
        "stale": False,
        "updated_at": NOON,
        "id": KEY,
        "metadata": normalise(
            {
                "a": {"b": 1, "n": None},
                "flag": True,
                "one": 1,
                "word": "10",
                "list": ["x"],
                "0": "zero",
            }
        ),
    }

    @pytest.mark.parametrize(
        ("condition", "answer"),
        [
            (where("repo").equals("acme/api"), True),
            (where("repo").less_than("acme/apj"), True),
            (where("repo").less_than("Z"), False),  # by code point, capitals come first
            (where("token_count").at_most(5.0), True),
            (where("token_count").greater_than(5), False),
            (where("token_count").one_of([1, 5]), True),
            (where("token_count").one_of([]), False),
            (where("stale").equals(False), True),
            (where("updated_at").at_least(NOON), True),
            (where("id").greater_than(UUID(int=6)), True),
            (where("title").equals("a"), False),
            (~where("title").equals("a"), True),
            (where("title").exists(), False),
            (where("metadata").exists(), True),
            (where("metadata", "a", "b").equals(1.0), True),
            (where("metadata", "a", "b").one_of([2, 1]), True),
            (where("metadata", "a", "n").exists(), True),
            (where("metadata", "a", "n").equals("None"), False),
            (where("metadata", "a", "c").exists(), False),
            (where("metadata", "a").equals("b"), False),
            (where("metadata", "a").one_of(["b"]), False),
            (where("metadata", "flag").equals(1), False),
            (where("metadata", "one").equals(True), False),
            (where("metadata", "flag").one_of([1, True]), True),
            (where("metadata", "word").equals(10), False),
            (where("metadata", "word").greater_than(1), False),
            (where("metadata", "word").less_than("9"), True),
            (where("metadata", "one").less_than(1.5), True),
            (where("metadata", "list", "0").exists(), False),
            (where("metadata", "0").equals("zero"), True),
            (~where("metadata", "nothing", "here").greater_than(3), True),
            (AllOf(), True),
            (AnyOf(), False),
            (where("stale").equals(True) | where("token_count").equals(5), True),
            (where("stale").equals(True) & where("token_count").equals(5), False),
        ],
    )
    def test_a_row_meets_a_filter_or_does_not(self, condition: Filter, answer: bool) -> None:
        assert meeting(KnowledgeChunk, condition)(self.ROW) is answer
        assert meeting(KnowledgeChunk, ~condition)(self.ROW) is not answer

    def test_without_a_filter_every_row_is_met(self) -> None:
        assert meeting(KnowledgeChunk, None)(self.ROW)

    def test_a_filter_is_checked_when_it_is_read(self) -> None:
        with pytest.raises(InvalidFilter):
            meeting(KnowledgeChunk, OneOf(("nothing",), (1,)))
