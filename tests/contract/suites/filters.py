"""Filters: which rows meet a condition."""

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
from tests.contract.suites.samples import (
    MOMENT,
    UNICODE,
    Masked,
    chunk,
    event,
    finding,
    review,
    run,
    suppression,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from domain import ReadRepository
    from domain.schema.base import Entity
    from tests.contract.suites.store import Store

WORDS: Final = ("", "A", "Z", "_", "a", "a-b", "a/b", "é", "未", "😀")
"""In the order of their code points, which no language's dictionary has."""

PATHS: Final = (
    "src/api/a.py",
    "src/api/v1/b.py",
    "src/x.py",
    "b.py",
    "%_.py",
    "app/[id]/page_1.tsx",
    "x+y^$.(a|b)",
    "line\nbreak",
    "übung 未来",
)


async def matching_values(
    repository: ReadRepository[Any], condition: Filter, name: str
) -> list[Any]:
    """Return what the rows that meet the filter have in `name`.

    Every way to ask has to say the same.
    """
    rows = await repository.list(condition)
    keys = [one.id for one in rows]
    assert await repository.count(condition) == len(rows)
    assert await repository.exists(condition) == bool(rows)
    assert [one.id for one in (await repository.page(condition)).items] == keys
    assert [one.id async for one in repository.stream(condition)] == keys
    return [getattr(one, name) for one in rows]


class FiltersContract:
    """A comparison with what is missing is false and its negation true.

    There are only two answers.
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
                assert await matching_values(view.reviews, condition, "pr_number") == numbers

    async def test_text_compares_by_code_point(self, store: Store) -> None:
        await write(store, *(review(conclusion=word) for word in WORDS))
        conclusion = where("conclusion")
        async with store.reader() as view:
            for place, word in enumerate(WORDS):
                assert await matching_values(
                    view.reviews, conclusion.equals(word), "conclusion"
                ) == [word]
                assert await matching_values(
                    view.reviews, conclusion.less_than(word), "conclusion"
                ) == list(WORDS[:place])
                assert await view.reviews.count(conclusion.at_most(word)) == place + 1
                assert (
                    await view.reviews.count(conclusion.greater_than(word))
                    == len(WORDS) - place - 1
                )
                assert await view.reviews.count(conclusion.at_least(word)) == len(WORDS) - place
            assert await matching_values(
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
                assert await matching_values(view.reviews, condition, "pr_number") == numbers

    async def test_moments_ids_flags_words_and_money_compare_as_what_they_are(
        self, store: Store
    ) -> None:
        of = review()
        findings = [
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
        await write(store, of, *findings, paid)
        offset = (MOMENT + timedelta(hours=2)).astimezone(timezone(timedelta(hours=5, minutes=30)))
        expected: list[tuple[Filter, Iterable[Entity]]] = [
            (where("id").equals(findings[1].id), findings[1:2]),
            (where("id").equals(str(findings[1].id)), findings[1:2]),
            (where("id").greater_than(findings[1].id), findings[2:]),
            (where("review_id").one_of([of.id, UUID(int=0)]), findings),
            (where("comment_id").greater_than(2**62 + 1), findings[2:]),
            (where("suppressed").equals(value=True), findings[1:2]),
            (~where("suppressed").equals(value=True), [findings[0], *findings[2:]]),
            (where("severity").equals("minor"), findings[3:]),
            (where("severity").one_of([Severity.CRITICAL, "major"]), findings[:2]),
            (where("created_at").equals(offset), findings[2:3]),
            (where("created_at").less_than(offset), findings[:2]),
        ]
        async with store.reader() as view:
            for condition, entities in expected:
                assert await matching_values(view.findings, condition, "id") == [
                    vars(entity)["id"] for entity in entities
                ]
            cost = where("cost_usd")
            assert await matching_values(
                view.telemetry, cost.equals(Decimal("0.00000001")), "id"
            ) == [paid.id]
            assert await matching_values(
                view.telemetry, cost.greater_than(0) & cost.at_most(1e-8), "id"
            ) == [paid.id]
            assert (
                await matching_values(
                    view.telemetry, cost.less_than(Decimal("0.000000009999")), "id"
                )
                == []
            )

    async def test_numbers_with_more_digits_than_a_column_are_not_rounded(
        self, store: Store
    ) -> None:
        await write(store, event(cost_usd=0), event(cost_usd=Decimal("0.00000001")))
        cost = where("cost_usd")
        expected: list[tuple[Filter, int]] = [
            (cost.less_than(Decimal("0.000000004")), 1),
            (cost.greater_than(Decimal("0.000000006")), 1),
            (cost.equals(5e-324), 0),
            (cost.one_of([5e-324, Decimal("0.0000000104")]), 0),
            (cost.one_of([1e-8, 10**20]), 1),
            (cost.less_than(10**10), 2),
            (cost.greater_than(-(10**300)), 2),
            (cost.greater_than(Decimal("1e-324")), 1),
            (cost.less_than(Decimal("0." + "1" * 9_000)), 2),
        ]
        async with store.reader() as view:
            for condition, count in expected:
                assert len(await matching_values(view.telemetry, condition, "id")) == count, (
                    condition
                )
            for wrong in ("1e309", "1e-325", "1e-20000", "0e-99999", "0." + "1" * 17_000):
                with pytest.raises(InvalidFilter, match="in the range of float") as refusal:
                    await view.telemetry.count(cost.less_than(Decimal(wrong)))
                assert refusal.value.field == "cost_usd"

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
                assert await matching_values(view.reviews, condition, "pr_number") == numbers

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
                assert await matching_values(
                    view.reviews, where("conclusion").equals(trick), "conclusion"
                ) == [trick]
                assert await view.reviews.count(where("conclusion").one_of([trick])) == 1

    async def test_text_of_another_class_is_the_text_that_it_is(self, store: Store) -> None:
        masked = Masked("doc")
        await write(
            store, chunk("masked", source_type=masked, metadata_={masked: masked, "tags": [masked]})
        )
        plain = (
            where("source_type").equals("doc"),
            where("metadata", "doc").equals("doc"),
            where("metadata", "tags").contains("doc"),
        )
        other = (
            where("source_type").equals(masked),
            where("source_type").one_of([masked]),
            where("source_type").starts_with(masked),
            where("metadata", masked).equals(masked),
            where("metadata", masked).one_of([masked]),
            where("metadata", "tags").contains(masked),
        )
        async with store.reader() as view:
            for condition in (*plain, *other):
                assert await matching_values(view.knowledge, condition, "chunk_id") == ["masked"]
        async with store.unit_of_work(tenant=masked) as uow:
            await put(uow, chunk("of a tenant"))
            await uow.commit()
        async with store.reader(tenant="doc") as view:
            assert await view.knowledge.count() == 1

    async def test_values_that_are_written_alike_are_different(self, store: Store) -> None:
        await write(store, chunk("one", metadata_={"one": 1, "of": "one"}))
        async with store.reader() as view:
            for name, names in (("one", ["one"]), ("none", []), ("one", ["one"])):
                masked = Masked(name)
                for condition in (
                    where("chunk_id").equals(masked),
                    where("chunk_id").one_of([masked]),
                    where("chunk_id").starts_with(masked),
                    where("metadata", masked).exists(),
                    where("metadata", "of").equals(masked),
                ):
                    assert await matching_values(view.knowledge, condition, "chunk_id") == names

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

    async def test_array_columns_are_tested_for_their_elements(self, store: Store) -> None:
        of = review()
        ids = [UUID(int=n) for n in range(4)]
        entries = [
            suppression(of, pattern="none"),
            suppression(of, pattern="one", finding_ids=(ids[0],)),
            suppression(of, pattern="two", finding_ids=(ids[0], ids[1])),
        ]
        await write(store, of, *entries)
        finding_ids = where("finding_ids")
        expected: list[tuple[Filter, list[str]]] = [
            (finding_ids.contains(ids[0]), ["one", "two"]),
            (finding_ids.contains(str(ids[1])), ["two"]),
            (finding_ids.contains_any([ids[1], ids[2]]), ["two"]),
            (finding_ids.contains_any([]), []),
            (finding_ids.contains_all([ids[1], ids[0]]), ["two"]),
            (finding_ids.contains_all([]), ["none", "one", "two"]),
            (~finding_ids.contains(ids[0]), ["none"]),
            (finding_ids.exists(), ["none", "one", "two"]),
        ]
        async with store.reader() as view:
            for condition, patterns in expected:
                assert await matching_values(view.suppressions, condition, "pattern") == patterns
            for condition in (finding_ids.equals(ids[0]), finding_ids.one_of([ids[0]])):
                with pytest.raises(InvalidFilter, match=r"contains\(\)"):
                    await view.suppressions.count(condition)
            with pytest.raises(InvalidFilter):
                await view.suppressions.count(finding_ids.contains("no id"))

    async def test_text_is_tested_for_a_prefix_a_part_and_a_glob(self, store: Store) -> None:
        await write(store, *(chunk(str(n), source=path) for n, path in enumerate(PATHS)))
        source = where("source")
        expected: list[tuple[Filter, list[str]]] = [
            (source.starts_with("src/"), ["src/api/a.py", "src/api/v1/b.py", "src/x.py"]),
            (source.starts_with("%"), ["%_.py"]),
            (source.contains_text("api/"), ["src/api/a.py", "src/api/v1/b.py"]),
            (source.contains_text("_"), ["%_.py", "app/[id]/page_1.tsx"]),
            (source.matches_glob("src/api/**"), ["src/api/a.py", "src/api/v1/b.py"]),
            (source.matches_glob("src/*"), ["src/x.py"]),
            (source.matches_glob("src/*.py"), ["src/x.py"]),
            (
                source.matches_glob("src/**/*.py"),
                ["src/api/a.py", "src/api/v1/b.py", "src/x.py"],
            ),
            (source.matches_glob("**/b.py"), ["b.py", "src/api/v1/b.py"]),
            (source.matches_glob("src/?.py"), ["src/x.py"]),
            (source.matches_glob("src/api/*/b.py"), ["src/api/v1/b.py"]),
            (source.matches_glob("**"), list(PATHS)),
            (source.matches_glob("b**y"), ["b.py"]),
            (source.matches_glob(r"app/\[id\]/*"), ["app/[id]/page_1.tsx"]),
            (source.matches_glob("SRC/**"), []),
            (source.matches_glob("x+y^$.(a|b)"), ["x+y^$.(a|b)"]),
            (source.matches_glob("line*"), ["line\nbreak"]),
            (source.matches_glob("line"), []),
            (source.matches_glob("ü*未?"), ["übung 未来"]),
        ]
        async with store.reader() as view:
            for condition, paths in expected:
                assert sorted(await matching_values(view.knowledge, condition, "source")) == sorted(
                    paths
                ), condition
