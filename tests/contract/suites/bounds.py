"""Bounds on work: no input, inside or beyond a bound, keeps the event loop from other tasks."""

from __future__ import annotations

from decimal import Decimal
from functools import partial, reduce
from itertools import repeat
from operator import and_
from random import Random
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

import pytest

from domain import Diversity, InvalidFilter, InvalidInput, Match, where
from domain.values.filters import AllOf, AnyOf
from domain.values.jsonb import MAX_VALUES
from repositories import Database, FakeDatabase
from tests.contract.suites.kinds import write
from tests.contract.suites.samples import (
    OWNER,
    REPO,
    chunk,
    finding,
    memory,
    reaction,
    review,
    vectors_of,
)
from tests.processor_time import LONGEST_HOLD, holds_of_the_loop

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence

    from domain import Filter
    from tests.contract.suites.store import Store

ATTEMPTS: Final = 4
"""Attempts of a call that holds the loop too long: other processes can slow one down."""

ROWS: Final = 150

MANY: Final = 3_000
"""Rows that take longer than `LONGEST_HOLD` if they become entities all at once."""

MORE: Final = 6_000
"""Rows that take several times `LONGEST_HOLD` if they become entities all at once."""


def _attempts(longest: list[float]) -> Iterator[None]:
    """Yield up to `ATTEMPTS` times, until the loop was not held too long."""
    for _ in range(ATTEMPTS):
        yield
        if longest[-1] <= LONGEST_HOLD:
            return


def _too_long(holds: dict[str, list[float]]) -> dict[str, float]:
    """Return the holds that were too long at every attempt."""
    return {name: min(times) for name, times in holds.items() if min(times) > LONGEST_HOLD}


def _names(size: int) -> list[str]:
    return [f"v{n}" for n in range(size)]


def _letters(number: int) -> str:
    # Fingerprints leave out no letters, so each title has its own.
    return "".join(chr(ord("a") + int(digit)) for digit in f"{number:04}")


async def _count(rows: AsyncIterator[Any]) -> int:
    return sum([1 async for _ in rows])


def _inside() -> Sequence[tuple[str, Filter]]:
    key, deep = where("metadata", "k"), where("metadata", *["k"] * 20)
    return (
        ("choices in JSON", key.one_of(_names(10_000))),
        ("elements of a list", key.contains_any(_names(10_000))),
        ("all elements of a list", key.contains_all(_names(10_000))),
        ("choices of a column", where("chunk_id").one_of(_names(10_000))),
        ("choices of ids", where("id").one_of([uuid4() for _ in range(10_000)])),
        ("choices of deep paths", AnyOf(tuple(deep.one_of(_names(100)) for _ in range(70)))),
        ("conditions", reduce(and_, [key.not_equals(n) for n in range(100)])),
        ("comparisons of deep paths", AllOf((deep.at_least(1),) * 2)),
        ("comparisons", AllOf((key.at_least("x"),) * 50)),
        ("nodes", AnyOf((AllOf(),) * 999)),
        ("a path", where("metadata", *["k" * 45_000] * 20).equals("x")),
        ("a path that is compared", where("metadata", *["k" * 45_000] * 20).at_least("x")),
        ("a text", where("content").equals("k" * 900_000)),
        ("a glob", where("source").matches_glob("*" + "/**/a?b" * 6 + "x" * 900)),
        ("globs", AnyOf((where("source").matches_glob("*" + ".x" * 490),) * 100)),
        ("escapes", AnyOf((where("source").matches_glob("*" + r"\x" * 490),) * 100)),
    )


def _beyond() -> Sequence[tuple[str, Filter]]:
    key = where("metadata", "k")
    shared: Filter = AllOf()
    for _ in range(6):
        shared = AnyOf((shared,) * 10)
    text = "k" * 100_000_000
    return (
        ("choices", key.one_of(_names(1_000_000))),
        ("keys", AllOf((where("metadata", *["k"] * 20).at_least(1),) * 3)),
        ("choices in sum", AllOf(tuple(key.one_of(_names(1_000)) for _ in range(11)))),
        ("nodes", AnyOf((AllOf(),) * 1_000_000)),
        ("a shared tree", shared),
        ("a path", where("metadata", *[text] * 11).greater_than("x")),
        ("a text", where("content").equals(text)),
        ("a number", where("token_count").equals(1 << 100_000_000)),
        ("numbers", key.one_of([10**999 + n for n in range(10_000)])),
        ("decimals", where("token_count").one_of([Decimal(10**2_000)] * 1_000)),
        ("choices of a long path", where("metadata", "k" * 20_000).one_of(_names(99))),
    )


def _queries() -> Mapping[str, str]:
    random = Random(1)
    return {
        "one letter": "a" * 1_000_000,
        "brackets": "[" * 1_000_000,
        "quotes": '"' * 1_000_000,
        "excluded words": "-a " * 300_000,
        "marks": "e\u0301" * 500_000,
        "ideographs": "".join(chr(0x4E00 + n % 20_000) for n in range(200_000)),
        "compounds": "aA" * 100_000,
        "hashes": " ".join(f"{n * 7_919**9:040x}" for n in range(5_000)),
        "words": " ".join("".join(random.choices("aeilnrst", k=7)) for _ in range(9_000)),
    }


class BoundsContract:
    """Input within the bounds holds the loop for 50 ms at most, and so does its refusal."""

    async def test_a_filter_within_the_bounds_does_not_hold_the_loop(self, store: Store) -> None:
        await write(store, *(chunk(f"c{n}") for n in range(100)))
        holds: dict[str, list[float]] = {}
        async with store.reader() as view:
            await view.knowledge.count(where("metadata", "warm").one_of(_names(1)))
            for name, condition in _inside():
                holds[name] = []
                for _ in _attempts(holds[name]):
                    async with holds_of_the_loop(holds[name]):
                        await view.knowledge.count(condition)
        assert _too_long(holds) == {}

    async def test_a_filter_beyond_a_bound_is_refused_at_once(self, store: Store) -> None:
        holds: dict[str, list[float]] = {}
        async with store.reader() as view:
            for name, condition in _beyond():
                async with holds_of_the_loop(holds.setdefault(name, [])):
                    with pytest.raises(InvalidFilter, match="at most") as refusal:
                        await view.knowledge.count(condition)
                assert len(str(refusal.value)) < 200
        assert _too_long(holds) == {}

    @pytest.mark.parametrize("count", [10_001, 1_000_000, None])
    async def test_more_values_than_an_argument_takes_are_refused_at_once(
        self, store: Store, count: int | None
    ) -> None:
        def values(value: str) -> Any:
            return repeat(value) if count is None else [value] * count

        vector = await vectors_of(store)
        async with store.reader() as view:
            searches: Mapping[str, Callable[[], Awaitable[object]]] = {
                "source_types": lambda: view.knowledge.keyword_search(
                    "x", source_types=values("x")
                ),
                "languages": lambda: view.knowledge.keyword_search("x", languages=values("x")),
                "corpora": lambda: view.corpora.search(
                    "x", vector(1.0), corpora=values("findings")
                ),
            }
            for name, search in searches.items():
                holds: list[float] = []
                async with holds_of_the_loop(holds):
                    with pytest.raises(InvalidInput, match=f"{name} has at most 10,000 values"):
                        await search()
                assert _too_long({name: holds}) == {}

    async def test_a_listing_of_many_rows_does_not_hold_the_loop(self, store: Store) -> None:
        subject = review()
        await write(store, subject, *(finding(subject) for _ in range(MANY)))
        holds: dict[str, list[float]] = {}
        async with store.unit_of_work() as uow, store.reader() as view:
            for name, findings in (("unit of work", uow.findings), ("reader", view.findings)):
                holds[name] = []
                for _ in _attempts(holds[name]):
                    async with holds_of_the_loop(holds[name]):
                        listed = await findings.list(limit=10_000)
                    assert len(listed) == MANY
        assert _too_long(holds) == {}

    async def test_writes_and_deletes_of_many_rows_do_not_hold_the_loop(self, store: Store) -> None:
        many = MORE if isinstance(store, Database) else MANY
        chunks = [chunk(f"c{n}") for n in range(many)]
        subject = review()
        findings = [finding(subject, title=f"{_letters(n)} deadline") for n in range(many)]
        holds: dict[str, list[float]] = {}
        async with store.unit_of_work() as uow:
            uow.reviews.add(subject)
            calls: dict[str, Callable[[], Awaitable[Any]]] = {
                "upsert_many": partial(uow.knowledge.upsert_many, chunks[::-1]),
                "add_many": partial(uow.findings.add_many, findings),
                "reactions": partial(uow.reactions.add_many, [reaction(one) for one in findings]),
                "patterns": partial(uow.reactions.patterns, REPO),
                "stream": partial(_count, uow.knowledge.stream(batch_size=5_000)),
                "delete_chunks": partial(uow.knowledge.delete_chunks, _names(20 * many)),
                "reset": uow.knowledge.reset,
            }
            for name, call in calls.items():
                async with holds_of_the_loop(holds.setdefault(name, [])):
                    result = await call()
                expected = 0 if name == "delete_chunks" else many
                assert (result if isinstance(result, int) else len(result)) == expected
        assert _too_long(holds) == {}

    async def test_a_first_search_of_a_unit_of_work_does_not_hold_the_loop(
        self, store: Store
    ) -> None:
        vector = await vectors_of(store)
        many = MORE
        await write(store, *(chunk(f"c{n}", embedding=vector(1.0, n)) for n in range(many)))
        holds: dict[str, list[float]] = {}
        async with store.unit_of_work() as uow, holds_of_the_loop(holds.setdefault("search", [])):
            hits = await uow.knowledge.vector_search(vector(1.0), limit=10_000)
        assert len(hits) == many
        assert _too_long(holds) == {}

    async def test_more_ids_than_one_call_takes_are_refused_at_once(self, store: Store) -> None:
        holds: dict[str, list[float]] = {}
        async with store.reader() as view, holds_of_the_loop(holds.setdefault("ids", [])):
            with pytest.raises(InvalidInput, match="at most 100,000") as refusal:
                await view.findings.get_many(repeat(uuid4()))
        assert refusal.value.field == "ids"
        assert _too_long(holds) == {}

    async def test_a_query_of_any_length_does_not_hold_the_loop(self, store: Store) -> None:
        await write(store, chunk("deadline"))
        holds: dict[str, list[float]] = {}
        async with store.reader() as view:
            await view.knowledge.keyword_search("deadline one")
            for name, query in _queries().items():
                for match in Match:
                    times = holds.setdefault(f"{name}, {match}", [])
                    for _ in _attempts(times):
                        async with holds_of_the_loop(times):
                            await view.knowledge.keyword_search(query, match=match)
        assert _too_long(holds) == {}

    async def test_rows_with_the_largest_json_do_not_hold_the_loop(self, store: Store) -> None:
        # The fake copies the rows in Python.
        many = 25 if isinstance(store, Database) else 1
        largest = {f"k{n}": n for n in range(MAX_VALUES)}
        subjects = [review(config_snapshot=largest) for _ in range(many)]
        holds: dict[str, list[float]] = {}
        async with store.unit_of_work() as uow:
            calls: dict[str, Callable[[], Awaitable[Any]]] = {
                "add_many": partial(uow.reviews.add_many, subjects),
                "list": uow.reviews.list,
                "stream": lambda: _count(uow.reviews.stream(batch_size=5_000)),
            }
            for name, call in calls.items():
                async with holds_of_the_loop(holds.setdefault(name, [])):
                    result = await call()
                assert (result if isinstance(result, int) else len(result)) == many
        assert _too_long(holds) == {}

    async def test_a_search_with_the_largest_limit_does_not_hold_the_loop(
        self, store: Store
    ) -> None:
        vector = await vectors_of(store)
        await write(
            store,
            *(chunk(f"c{n}", f"deadline {n}", embedding=vector(1.0, n)) for n in range(ROWS)),
            *(memory(f"deadline {n}", embedding=vector(1.0, n)) for n in range(ROWS)),
        )
        query: Any = vector(1.0)
        holds: dict[str, list[float]] = {}
        async with store.reader() as view:
            knowledge, memories = view.knowledge, view.memories
            await knowledge.hybrid_search("deadline one", query)  # stems and plans are cached
            searches: dict[str, Callable[[], Awaitable[Any]]] = {
                "both": lambda: knowledge.hybrid_search("deadline one", query, limit=10_000),
                "diverse": lambda: knowledge.hybrid_search(
                    "deadline one", query, limit=100, diversity=Diversity()
                ),
                "corpora": lambda: view.corpora.search("deadline one", query, limit=10_000),
                "recall": lambda: memories.recall(
                    query, "deadline one", repo=REPO, owner=OWNER, limit=10_000
                ),
            }
            if isinstance(store, FakeDatabase):
                # The fake compares every pair of embeddings in Python.
                del searches["corpora"]
            for name, search in searches.items():
                holds[name] = []
                for _ in _attempts(holds[name]):
                    async with holds_of_the_loop(holds[name]):
                        await search()
            with pytest.raises(InvalidInput):
                await knowledge.hybrid_search(
                    "deadline", query, limit=10_000, diversity=Diversity()
                )
        assert _too_long(holds) == {}
