"""Filters: which rows meet a condition, and which conditions are refused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from functools import reduce
from operator import and_
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import pytest

from domain import Filter, InvalidFilter, RunStatus, Severity, where
from domain.values.filters import AllOf, AnyOf, Not
from tests.contract.suites.kinds import put, write
from tests.contract.suites.samples import MOMENT, UNICODE, chunk, event, finding, review, run

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from domain import ReadRepository
    from domain.schema.base import Entity
    from tests.contract.suites.store import Store

WORDS: Final = ("", "A", "Z", "_", "a", "a-b", "a/b", "é", "未", "😀")
"""In the order of their code points, which no language's dictionary has."""

DOCUMENTS: Final[dict[str, dict[str, Any]]] = {
    "empty": {},
    "text": {"a": "b"},
    "number": {"a": 1},
    "fraction": {"a": 1.5},
    "large": {"a": 10**30},
    "flag": {"a": True},
    "null": {"a": None},
    "nested": {"a": {"b": {"c": "deep"}}, "tags": ["x", "y"]},
    "odd keys": {"a.b": 1, "": 2, UNICODE: UNICODE},
}


IN_JSON: Final[Sequence[tuple[Filter, Sequence[str]]]] = (
    (where("metadata", "a").equals("b"), ["text"]),
    (where("metadata", "a").equals(1), ["number"]),
    (where("metadata", "a").equals(1.0), ["number"]),
    (where("metadata", "a").equals(10**30), ["large"]),
    (where("metadata", "a").equals(1e30), ["large"]),
    (where("metadata", "a").equals(value=True), ["flag"]),
    (where("metadata", "a").one_of([1, "b", False]), ["text", "number"]),
    (where("metadata", "a").one_of([]), []),
    (where("metadata", "a").at_least(1), ["number", "fraction", "large"]),
    (where("metadata", "a").greater_than(1), ["fraction", "large"]),
    (where("metadata", "a").less_than(1.5), ["number"]),
    (where("metadata", "a").at_least(""), ["text"]),
    (where("metadata", "a").less_than("b"), []),
    (
        where("metadata", "a").exists(),
        ["text", "number", "fraction", "large", "flag", "null", "nested"],
    ),
    (where("metadata", "a", "b").exists(), ["nested"]),
    (where("metadata", "a", "b", "c").equals("deep"), ["nested"]),
    (where("metadata", "a", "b", "c").greater_than("deeo"), ["nested"]),
    (where("metadata", "tags").exists(), ["nested"]),
    (where("metadata", "tags").equals("x"), []),
    (where("metadata", "tags", "0").equals("x"), []),
    (where("metadata", "tags", "0").exists(), []),
    (where("metadata", "a.b").equals(1), ["odd keys"]),
    (where("metadata", "").at_least(2), ["odd keys"]),
    (where("metadata", UNICODE).equals(UNICODE), ["odd keys"]),
    (where("metadata", UNICODE).at_least(UNICODE), ["odd keys"]),
    (where("metadata", "missing").equals("x"), []),
    (~where("metadata", "a").exists(), ["empty", "odd keys"]),
    (~where("metadata", "a").at_least(0), ["empty", "text", "flag", "null", "nested", "odd keys"]),
    (
        ~where("metadata", "a").equals("b") & where("metadata", "a").less_than(2),
        ["number", "fraction"],
    ),
    (where("metadata").exists(), list(DOCUMENTS)),
)
"""Which documents meet which condition."""

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
    (where("metadata", "a").equals(MOMENT), "metadata"),
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
)
"""What cannot be asked of a chunk, and the field that is named."""


async def _meeting(repository: ReadRepository[Any], condition: Filter, name: str) -> list[Any]:
    """Return what the rows that meet the filter have in `name`.

    Every way to ask has to say the same.
    """
    found = await repository.list(condition)
    keys = [one.id for one in found]
    assert await repository.count(condition) == len(found)
    assert await repository.exists(condition) == bool(found)
    assert [one.id for one in (await repository.page(condition)).items] == keys
    assert [one.id async for one in repository.stream(condition)] == keys
    return [getattr(one, name) for one in found]


class FiltersContract:
    """A comparison with what is missing is false and its negation true.

    There is no third answer.
    """

    async def test_numbers_compare_with_every_operator(self, store: Store) -> None:
        await write(store, *(review(pr_number=n) for n in range(1, 6)))
        number = where("pr_number")
        expected: list[tuple[Filter, list[int]]] = [
            (number.equals(3), [3]),
            (number.equals(3.0), [3]),
            (number.less_than(3), [1, 2]),
            (number.at_most(3), [1, 2, 3]),
            (number.greater_than(3), [4, 5]),
            (number.at_least(3), [3, 4, 5]),
            (number.one_of([1, 5, 99]), [1, 5]),
            (number.one_of([]), []),
            (number.exists(), [1, 2, 3, 4, 5]),
            (~number.one_of([1, 5, 99]), [2, 3, 4]),
        ]
        async with store.reader() as view:
            for condition, numbers in expected:
                assert await _meeting(view.reviews, condition, "pr_number") == numbers

    async def test_text_compares_by_code_point(self, store: Store) -> None:
        await write(store, *(review(conclusion=word) for word in WORDS))
        conclusion = where("conclusion")
        async with store.reader() as view:
            for place, word in enumerate(WORDS):
                assert await _meeting(view.reviews, conclusion.equals(word), "conclusion") == [word]
                assert await _meeting(
                    view.reviews, conclusion.less_than(word), "conclusion"
                ) == list(WORDS[:place])
                assert await view.reviews.count(conclusion.at_most(word)) == place + 1
                assert (
                    await view.reviews.count(conclusion.greater_than(word))
                    == len(WORDS) - place - 1
                )
                assert await view.reviews.count(conclusion.at_least(word)) == len(WORDS) - place
            assert await _meeting(
                view.reviews, conclusion.one_of(["é", "a", "none"]), "conclusion"
            ) == ["a", "é"]

    async def test_what_is_missing_meets_no_comparison_and_every_negation(
        self, store: Store
    ) -> None:
        await write(
            store,
            review(pr_number=1, model=None),
            review(pr_number=2, model="m"),
            review(pr_number=3, model=""),
        )
        model = where("model")
        expected = [
            (model.exists(), [2, 3]),
            (~model.exists(), [1]),
            (model.equals("m"), [2]),
            (~model.equals("m"), [1, 3]),
            (model.at_least(""), [2, 3]),
            (~model.at_least(""), [1]),
            (model.one_of(["", "m"]), [2, 3]),
            (~model.one_of([]), [1, 2, 3]),
            (~~model.equals("m"), [2]),
        ]
        async with store.reader() as view:
            for condition, numbers in expected:
                assert await _meeting(view.reviews, condition, "pr_number") == numbers

    async def test_moments_ids_flags_words_and_money_compare_as_what_they_are(
        self, store: Store
    ) -> None:
        of = review()
        found = [
            finding(
                of,
                comment_id=2**62 + n,
                suppressed=n == 1,
                severity=severity,
                created_at=MOMENT + timedelta(hours=n),
            )
            for n, severity in enumerate(Severity)
        ]
        paid = event(cost_usd=Decimal("0.00000001"))
        await write(store, of, *found, paid)
        offset = (MOMENT + timedelta(hours=2)).astimezone(timezone(timedelta(hours=5, minutes=30)))
        expected: list[tuple[Filter, Iterable[Entity]]] = [
            (where("id").equals(found[1].id), found[1:2]),
            (where("id").equals(str(found[1].id)), found[1:2]),
            (where("id").greater_than(found[1].id), found[2:]),
            (where("review_id").one_of([of.id, UUID(int=0)]), found),
            (where("comment_id").greater_than(2**62 + 1), found[2:]),
            (where("suppressed").equals(value=True), found[1:2]),
            (~where("suppressed").equals(value=True), [found[0], *found[2:]]),
            (where("severity").equals("minor"), found[3:]),
            (where("severity").one_of([Severity.CRITICAL, "major"]), found[:2]),
            (where("created_at").equals(offset), found[2:3]),
            (where("created_at").less_than(offset), found[:2]),
        ]
        async with store.reader() as view:
            for condition, entities in expected:
                assert await _meeting(view.findings, condition, "id") == [
                    vars(entity)["id"] for entity in entities
                ]
            cost = where("cost_usd")
            assert await _meeting(view.telemetry, cost.equals(Decimal("0.00000001")), "id") == [
                paid.id
            ]
            assert await _meeting(
                view.telemetry, cost.greater_than(0) & cost.at_most(1e-8), "id"
            ) == [paid.id]
            assert (
                await _meeting(view.telemetry, cost.less_than(Decimal("0.000000009999")), "id")
                == []
            )

    async def test_conditions_combine_with_and_or_and_not(self, store: Store) -> None:
        await write(
            store, *(review(pr_number=n, model="odd" if n % 2 else None) for n in range(1, 7))
        )
        odd, small = where("model").equals("odd"), where("pr_number").at_most(3)
        expected = [
            (odd & small, [1, 3]),
            (odd | small, [1, 2, 3, 5]),
            (odd & ~small, [5]),
            (~(odd | small), [4, 6]),
            ((odd & small) | where("pr_number").equals(6), [1, 3, 6]),
            (odd & (small | where("pr_number").equals(5)), [1, 3, 5]),
            (AllOf(), [1, 2, 3, 4, 5, 6]),
            (AnyOf(), []),
            (Not(AllOf()), []),
            (Not(AnyOf()), [1, 2, 3, 4, 5, 6]),
        ]
        async with store.reader() as view:
            for condition, numbers in expected:
                assert await _meeting(view.reviews, condition, "pr_number") == numbers

    async def test_a_path_in_json_leads_through_objects_and_compares_with_its_own_kind(
        self, store: Store
    ) -> None:
        await write(
            store, *(chunk(name, metadata_=document) for name, document in DOCUMENTS.items())
        )
        async with store.reader() as view:
            for condition, names in IN_JSON:
                assert await _meeting(view.knowledge, condition, "chunk_id") == list(names), (
                    condition
                )

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

    async def test_words_of_an_enumeration_are_its_members_and_have_no_order(
        self, store: Store
    ) -> None:
        await write(store, run(status=RunStatus.RUNNING))
        async with store.unit_of_work() as uow:
            assert await uow.runs.count(where("status").equals("running")) == 1
            for condition in (
                where("status").equals("walking"),
                where("status").less_than(RunStatus.RUNNING),
            ):
                with pytest.raises(InvalidFilter) as refusal:
                    await uow.runs.count(condition)
                assert refusal.value.field == "status"
            assert await uow.runs.count(where("completed_at").exists()) == 0

    async def test_values_are_compared_and_never_interpreted(self, store: Store) -> None:
        tricks = [
            "' OR '1'='1",
            "%",
            "_",
            "\\",
            "$1",
            ":name",
            "NULL",
            "*",
            "'; DROP TABLE reviews; --",
            UNICODE,
        ]
        await write(
            store, *(review(conclusion=trick) for trick in tricks), review(conclusion="plain")
        )
        async with store.reader() as view:
            for trick in tricks:
                assert await _meeting(
                    view.reviews, where("conclusion").equals(trick), "conclusion"
                ) == [trick]
                assert await view.reviews.count(where("conclusion").one_of([trick])) == 1

    async def test_the_most_choices_and_conditions_that_are_allowed_work(
        self, store: Store
    ) -> None:
        await write(store, review(pr_number=10_000))
        number = where("pr_number")
        many = reduce(and_, [number.at_least(n) for n in range(100)])
        async with store.reader() as view:
            assert await view.reviews.count(number.one_of(range(1, 10_001))) == 1
            assert await view.reviews.count(many) == 1
            assert (
                await view.reviews.count(
                    reduce(lambda condition, _: ~condition, range(50), number.equals(10_000))
                )
                == 1
            )
            moment = datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)
            assert await view.reviews.count(where("created_at").at_most(moment)) == 1
