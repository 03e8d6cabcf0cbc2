"""Arguments of other types than the ports annotate are refused by every store in the same way."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from inspect import Parameter, getmembers, ismethod, signature
from typing import TYPE_CHECKING, Any, Final, get_origin
from uuid import uuid4

import pytest
from pydantic import ValidationError

from domain import InvalidInput, Review, UnitOfWork
from repositories import Database
from tests.contract.ports import methods_of, parts_of

if TYPE_CHECKING:
    from tests.contract.suites.store import Store


async def _reported(_: object) -> None:
    """A coroutine that nothing would await."""


class _Reports:
    async def __call__(self, _: object) -> None:
        """Nothing would await this one either."""


_CHECKED: Final = {
    "str": (5, None, b"x", ["x"], "a\0b", "\ud800"),
    "bool": (1, None, "yes"),
    "UUID": (5, None, "x", b"0" * 16),
    "timedelta": (5, None, "1 day"),
    "datetime": (5, None, "2026-01-01"),
    "Progress": (5, "x", _reported, _Reports()),
    "OnBuild": (5, "x", _reported),
    "Path": (5, b"x", [], "", "a\0b", "\ud800"),
    "type[Entity]": ("knowledge", None, ["knowledge"], int, object()),
    "Iterable[str]": ("x", 5, None, [5], ["a\0b"]),
    "Collection[Corpus]": ("knowledge", 5, None, ["elsewhere"]),
    "Sequence[RepairedEmbedding]": (5, None, [{}]),
    **dict.fromkeys(
        (
            "Distance",
            "Match",
            "Outcome",
            "Severity",
            "Category",
            "ConfidenceBand",
            "UsageBy",
            "Isolation",
        ),
        (5, None, "elsewhere", object),
    ),
    **dict.fromkeys(
        ("Weights", "Diversity", "Recency", "Cursor", "EmbeddingRepair"), (5, "x", object())
    ),
}

_SEARCHED: Final = ("query", "text")


def _methods(
    part: Any, port: Any, path: str = ""
) -> Iterator[tuple[str, Callable[..., Any], Callable[..., Any]]]:
    """Yield the path of every operation, its method, and the method of the port."""
    for name in sorted(methods_of(port)) if path else ():
        declared = getattr(get_origin(port) or port, name)
        yield f"{path}.{name}", getattr(part, name), declared
    for name, inner in parts_of(port):
        yield from _methods(getattr(part, name), inner, f"{path}.{name}")


def _wrong_values(name: str, annotation: str) -> tuple[Any, ...]:
    kinds = annotation.removesuffix(" | str" if annotation.startswith("Path") else "").split(" | ")
    wrongs: tuple[Any, ...] = ()
    if len(kinds) - ("None" in kinds) == 1 and name not in ("id", "where"):
        wrongs = _CHECKED.get(kinds[0], ())
    if "None" in kinds:
        wrongs = tuple(wrong for wrong in wrongs if wrong is not None)
    if name in _SEARCHED:  # characters that cannot be stored separate words
        wrongs = tuple(wrong for wrong in wrongs if not isinstance(wrong, str))
    return wrongs


class ArgumentsContract:
    """An argument of a wrong type is refused before a statement, and named."""

    async def test_an_argument_of_another_type_is_refused_and_named(self, store: Store) -> None:
        refused = set()
        async with store.unit_of_work() as uow:
            for path, method, declared in _methods(uow, UnitOfWork):
                for name, parameter in signature(declared).parameters.items():
                    for wrong in _wrong_values(name, str(parameter.annotation)):
                        with pytest.raises(InvalidInput) as refusal:
                            await method(**{name: wrong})
                        assert refusal.value.field == name, path
                        refused.add(path)
            assert await uow.reviews.count() == 0, "the unit of work can still be used"
        assert len(refused) > 60

    async def test_the_reason_of_an_entity_is_told_without_the_name_of_its_error(
        self, store: Store
    ) -> None:
        async with store.unit_of_work() as uow:
            with pytest.raises(InvalidInput, match=r"^provider: contains a control character"):
                await uow.embedding_metadata.agree_on_embeddings(
                    provider="a\tb", model="m", dimensions=3
                )

    async def test_an_argument_of_the_database_of_another_type_is_refused_and_named(
        self, store: Store
    ) -> None:
        refused = set()
        for path, method in getmembers(store, ismethod):
            if path.startswith("_") or method.__self__ is not store:
                continue
            for name, parameter in signature(method).parameters.items():
                for wrong in _wrong_values(name, str(parameter.annotation)):
                    is_further = parameter.kind is Parameter.VAR_POSITIONAL
                    with pytest.raises(InvalidInput) as refusal:
                        result = method(wrong) if is_further else method(**{name: wrong})
                        await result
                    assert refusal.value.field == name, path
                    refused.add(path)
        assert {"unit_of_work", "run", "outcome", "telemetry_recorder"} <= refused
        assert not isinstance(store, Database) or len(refused) > 15

    async def test_errors_of_the_callers_function_are_not_converted(self, store: Store) -> None:
        async def work(uow: UnitOfWork) -> None:
            uow.reviews.add(Review(repo="", pr_number=1))

        with pytest.raises(ValidationError):
            await store.run(work)

    async def test_work_that_is_no_async_function_of_one_argument_is_refused(
        self, store: Store
    ) -> None:
        works: list[Any] = [lambda _: 5, lambda _: None, lambda: None, lambda _, __: None]
        for work in works:
            with pytest.raises(InvalidInput, match="write `async def work") as refusal:
                await store.run(work)
            assert refusal.value.field == "work"

    async def test_an_error_inside_work_is_its_own(self, store: Store) -> None:
        async def work(_: UnitOfWork) -> None:
            raise TypeError("of the application")

        def starts(_: UnitOfWork) -> Any:
            raise TypeError("before the first await")

        for failing, message in ((work, "of the application"), (starts, "before the first await")):
            with pytest.raises(TypeError, match=message):
                await store.run(failing)

    async def test_numbers_and_times_without_meaning_are_refused(self, store: Store) -> None:
        async def work(uow: UnitOfWork) -> int:
            return await uow.reviews.count()

        run: Any = store.run
        for wrong in (0, -1):
            with pytest.raises(InvalidInput, match="attempts must be between 1 and"):
                await run(work, attempts=wrong)
        with pytest.raises(InvalidInput, match="retry_for must not be negative"):
            await run(work, retry_for=timedelta(microseconds=-1))
        with pytest.raises(InvalidInput, match="wait_for must not be negative"):
            await store.outcome(uuid4(), wait_for=timedelta(seconds=-1))
        assert await run(work, attempts=1, retry_for=timedelta(0)) == 0

    async def test_whole_numbers_that_no_column_holds_are_refused(self, store: Store) -> None:
        async with store.reader() as view:
            for wrong in (2**31, True, "7", 7.0, None):
                number: Any = wrong
                with pytest.raises(InvalidInput) as refusal:
                    await view.runs.last_reviewed_head("acme/api", number)
                assert refusal.value.field == "pr_number"
            assert await view.findings.find_by_comment("acme/api", 2**63 - 1) is None
            with pytest.raises(InvalidInput):
                await view.findings.find_by_comment("acme/api", 2**63)

    async def test_the_text_of_an_enum_is_a_member(self, store: Store) -> None:
        any_word: Any = "any"
        async with store.reader() as view:
            assert not await view.knowledge.keyword_search("deadline", match=any_word)
