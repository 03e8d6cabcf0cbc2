"""The cache of statements is bounded, however many filters a program has."""

from __future__ import annotations

from weakref import WeakSet

from domain import where
from repositories.sql.caching import FILTERED_CACHE_SIZE, cached_statement
from repositories.sql.filters import FilterKey


class Statement:
    """Stands for a statement."""


BUILT: WeakSet[Statement] = WeakSet()


@cached_statement
def one(_: FilterKey) -> Statement:
    BUILT.add(built := Statement())
    return built


@cached_statement
def other(key: FilterKey, /, *, limit: int) -> Statement:
    del key, limit
    BUILT.add(built := Statement())
    return built


def key(number: int) -> FilterKey:
    return FilterKey(where("repo").equals(f"acme/{number}"))


def test_statements_with_filters_are_few_for_all_functions_together() -> None:
    for number in range(3 * FILTERED_CACHE_SIZE):
        one(key(number))
        other(key(number), limit=3)
    assert len(BUILT) == FILTERED_CACHE_SIZE


def test_a_statement_is_built_once_for_equal_arguments() -> None:
    assert one(key(1)) is one(key(1))
    assert one(key(1)) is not one(key(2))
    assert other(key(1), limit=3) is other(key(1), limit=3)
    assert other(key(1), limit=3) is not other(key(1), limit=4)
    assert one(FilterKey(None)) is one(FilterKey())


def test_a_large_filter_is_not_kept() -> None:
    large = FilterKey(where("repo").one_of([f"acme/{number}" for number in range(1_000)]))
    assert one(large) is not one(large)
