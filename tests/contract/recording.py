"""A store that records its calls, and a runner of the contract that needs no pytest session."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterator, Sequence
from itertools import chain, product
from types import TracebackType
from typing import Any, Self
from uuid import UUID

from repositories.bulk_changes import BulkChanges
from tests.contract import suites as contract
from tests.contract.suites import Store

_LEFT_OUT = (
    contract.ArgumentsContract,
    contract.BatchesContract,
    contract.BoundsContract,
    contract.LimitContract,
)
_LAST = (
    contract.ConcurrentClaimsContract,
    contract.ConcurrentWritesContract,
    contract.DistinctContract,
    contract.FiltersContract,
    contract.KeywordSearchContract,
    contract.ListingContract,
    contract.VectorSearchContract,
)
CONTRACTS = [getattr(contract, name) for name in contract.__all__ if name.endswith("Contract")]


class Recorded:
    """Stands for a unit of work or one of its parts. `path` is what it is called by."""

    def __init__(self, target: Any, path: str, parts: set[str], called: set[str]) -> None:
        self._target = target
        self._path = path
        self._parts = parts
        self._called = called

    def __getattr__(self, name: str) -> Any:
        value, path = getattr(self._target, name), f"{self._path}.{name}"
        if path in self._parts:
            return Recorded(value, path, self._parts, self._called)
        if inspect.ismethod(value):
            return self._recorded(path, value)
        return value

    def _recorded(self, path: str, method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            self._called.add(path)
            return method(*args, **kwargs)

        return call

    async def __aenter__(self) -> Self:
        await self._target.__aenter__()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._target.__aexit__(exc_type, exc, traceback)


class RecordedStore(BulkChanges):
    """A store whose units of work and readers are recorded, as `uow` and `view`."""

    def __init__(self, store: Store, parts: set[str], called: set[str]) -> None:
        self._store = store
        self._parts = parts
        self._called = called

    def unit_of_work(self, **options: Any) -> Any:
        return Recorded(self._store.unit_of_work(**options), "uow", self._parts, self._called)

    def reader(self, **options: Any) -> Any:
        return Recorded(self._store.reader(**options), "view", self._parts, self._called)

    async def run(self, work: Callable[[Any], Awaitable[Any]], **options: Any) -> Any:
        return await self._store.run(work, **options)

    async def outcome(self, operation_id: UUID, **options: Any) -> bool:
        return await self._store.outcome(operation_id, **options)


def each_test() -> Iterator[Callable[[Store], Awaitable[None]]]:
    """Yield the tests of all suites as functions of a store.

    Each test comes with the first of its parameters. Then they come with the others. The suites of
    `_LAST` take the most time, and call little that others do not call. Those of `_LEFT_OUT` write
    many rows, or look at the methods of the store itself, and call nothing that others do not call.
    """
    suites = [suite for suite in CONTRACTS if suite not in (*_LEFT_OUT, *_LAST)]
    yield from _each_test_of(suites)
    yield from _each_test_of(_LAST)


def _each_test_of(suites: Sequence[type[Any]]) -> Iterator[Callable[[Store], Awaitable[None]]]:
    tests = [
        [_bound(suite, name, arguments) for arguments in _parameters(function)]
        for suite in suites
        for name, function in inspect.getmembers(suite, inspect.isfunction)
        if name.startswith("test_")
    ]
    yield from (first for first, *_ in tests)
    yield from chain.from_iterable(others for _, *others in tests)


def _bound(
    suite: type[Any], name: str, arguments: dict[str, Any]
) -> Callable[[Store], Awaitable[None]]:
    async def test(store: Store) -> None:
        instance = suite()
        # Many rounds find what happens rarely; what is called at all shows in the first.
        instance.rounds = 1
        await getattr(instance, name)(store=store, **arguments)

    return test


def _parameters(function: Any) -> Iterator[dict[str, Any]]:
    marks = [mark for mark in getattr(function, "pytestmark", ()) if mark.name == "parametrize"]
    choices = [[_arguments(mark.args[0], values) for values in mark.args[1]] for mark in marks]
    for chosen in product(*choices):
        yield {name: value for arguments in chosen for name, value in arguments.items()}


def _arguments(names: str | tuple[str, ...] | list[str], values: Any) -> dict[str, Any]:
    named = [name.strip() for name in names.split(",")] if isinstance(names, str) else list(names)
    return dict(zip(named, values if len(named) > 1 else [values], strict=True))
