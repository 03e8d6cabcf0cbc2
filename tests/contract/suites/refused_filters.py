"""Filters that are refused, and what their errors say."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from functools import reduce
from operator import and_, or_
from typing import TYPE_CHECKING, Any, Final, cast
from uuid import UUID

import pytest

from domain import Filter, InvalidFilter, where
from domain.values.filters import AllOf, AnyOf, Not
from tests.contract.suites.kinds import put
from tests.contract.suites.samples import MOMENT, chunk

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.contract.suites.store import Store


def _tenfold(condition: Filter, *, times: int) -> Filter:
    for _ in range(times):
        condition = AnyOf((condition,) * 10)
    return condition


REFUSED: Final[Sequence[tuple[Filter, str]]] = (
    (where("nonsense").equals(1), "nonsense"),
    (where("search_vector").exists(), "search_vector"),
    (where("").exists(), ""),
    (where("content; DROP TABLE knowledge").exists(), "content; DROP TABLE knowledge"),
    (where("content", "path").equals("x"), "content"),
    (where("content").equals(1), "content"),
    (where("content").equals("\0"), "content"),
    (where("content").equals("\ud800"), "content"),
    (where("token_count").equals("1"), "token_count"),
    (where("token_count").equals(value=True), "token_count"),
    (where("token_count").equals(1.5), "token_count"),
    (where("token_count").at_most(2**31), "token_count"),
    (where("token_count").less_than(float("nan")), "token_count"),
    (where("id").equals("no id"), "id"),
    (where("created_at").equals("2026-01-01"), "created_at"),
    (where("created_at").at_least(datetime(2026, 1, 1)), "created_at"),  # noqa: DTZ001 -- what is refused
    (where("stale").equals(1), "stale"),
    (where("stale").less_than(value=True), "stale"),
    (where("embedding").equals("[1]"), "embedding"),
    (where("content_hash").equals("x"), "content_hash"),
    (where("metadata").equals("x"), "metadata"),
    (where("metadata", "a").at_least(datetime(2026, 1, 1)), "metadata"),  # noqa: DTZ001 -- what is refused
    (where("metadata", "a").equals(["x"]), "metadata"),  # type: ignore[arg-type]  # what is refused
    (where("metadata", "tags").contains(MOMENT), "metadata"),
    (where("metadata", "a").matches_glob("src/[ab].py"), "metadata"),
    (where("metadata", "a").matches_glob("*" + "/*" * 20), "metadata"),
    (where("metadata", "a").matches_glob(""), "metadata"),
    (where("metadata", "a").starts_with("\0"), "metadata"),
    (where("content").contains("x"), "content"),
    (where("token_count").starts_with("1"), "token_count"),
    (where("metadata").contains("x"), "metadata"),
    (where("metadata", "a").less_than(value=True), "metadata"),
    (where("metadata", "a").equals(float("inf")), "metadata"),
    (where("metadata", "\0").exists(), "metadata"),
    (where("metadata", *"a" * 21).exists(), "metadata"),
    (where("token_count").one_of([1, "2"]), "token_count"),
    (where("token_count").one_of(range(10_001)), "token_count"),
    (where("nonsense").one_of([]), "nonsense"),
    (where("embedding").one_of([]), "embedding"),
    (reduce(and_, [where("stale").exists()] * 101), "where"),
    (reduce(lambda condition, _: Not(condition), range(51), where("stale").exists()), "where"),
    (reduce(lambda condition, _: Not(condition), range(5_000), where("stale").exists()), "where"),
    (where("stale").exists() & where("nonsense").exists(), "nonsense"),
    (AnyOf((AllOf(),) * 1_000_000), "where"),
    (_tenfold(AllOf(), times=6), "where"),
    (where("metadata", *["k" * 50_001] * 20).exists(), "where"),
    (where("content").equals("k" * 1_000_001), "where"),
    (AnyOf(tuple(where("chunk_id").one_of(["x"] * 5_001) for _ in range(2))), "chunk_id"),
)
"""Invalid filters of a chunk, and the field that the error names."""


class RefusedFiltersContract:
    """An error names the field, says what to write, and aborts nothing."""

    async def test_what_cannot_be_asked_is_refused_and_poisons_nothing(self, store: Store) -> None:
        async with store.unit_of_work() as uow:
            await put(uow, chunk())
            ways = (
                uow.knowledge.count,
                uow.knowledge.exists,
                uow.knowledge.list,
                uow.knowledge.page,
                uow.knowledge.delete_where,
            )
            for condition, field in REFUSED:
                for ask in ways:
                    with pytest.raises(InvalidFilter) as refusal:
                        await ask(condition)
                    assert refusal.value.field == field, condition
                with pytest.raises(InvalidFilter):
                    [one async for one in uow.knowledge.stream(condition)]
            await uow.commit()
        async with store.reader() as view:
            assert await view.knowledge.count() == 1

    async def test_a_refusal_says_what_to_write(self, store: Store) -> None:
        path: Any = where("metadata", "tags")
        advice: list[tuple[Filter, str]] = [
            (path.equals(["x"]), "contains"),
            (path.equals(None), "is_null"),
            (path.at_least(datetime(2026, 1, 1)), "time zone"),  # noqa: DTZ001 -- what is refused
            (path.at_least(date(2026, 1, 1)), "datetime"),
            (path.equals(Decimal("0.5")), "float"),
            (path.contains(UUID(int=7)), "str(value)"),
            (path.contains(datetime(2026, 1, 1, tzinfo=UTC)), "value.isoformat()"),
            (path.equals("\0"), "PostgreSQL can store"),
            (
                where("content").starts_with(cast("Any", 5)),
                "content: starts_with() takes text, not int",
            ),
            (path.contains_text("\0"), "metadata: the text of contains_text() has a NUL"),
            (where("metadata").equals("x"), "key"),
            (where("content").contains("x"), "contains_text"),
            (path.matches_glob("a{b,c}"), "|"),
            (where("stale").less_than(value=True), "equals"),
        ]
        async with store.reader() as view:
            for condition, words in advice:
                with pytest.raises(InvalidFilter) as refusal:
                    await view.knowledge.count(condition)
                assert words in str(refusal.value), condition

    async def test_filters_are_combined_by_operators_and_not_by_words(self, store: Store) -> None:
        one, other = where("stale").exists(), where("repo").exists()
        uses: tuple[Callable[[], object], ...] = (
            lambda: all((one, other)),
            lambda: any((one, other)),
        )
        for use in uses:
            with pytest.raises(InvalidFilter, match="&"):
                use()
        compared: Any
        for compared in (False, None, "x"):
            for combine in (and_, or_):
                with pytest.raises(InvalidFilter, match=r"write where\("):
                    combine(compared, one)
        one_of: Any = where("repo").one_of
        contains_any: Any = where("metadata", "a").contains_any
        for method in (one_of, contains_any):
            with pytest.raises(InvalidFilter, match="a list of values"):
                method("acme/api")
