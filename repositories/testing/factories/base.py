"""The base of the factories, and random ids and embeddings that a seed repeats."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import UTC, datetime
from time import time_ns
from typing import TYPE_CHECKING, Any, Final, TypeVar, get_args
from uuid import UUID

from factory.base import Factory, FactoryMetaClass
from factory.random import randgen, reseed_random
from pgvector import Vector

from domain.schema.base import Entity
from domain.values.embedding import newest_dimensions

EntityT = TypeVar("EntityT", bound=Entity)

SEEDED_FROM: Final = datetime(2026, 1, 1, tzinfo=UTC)
"""The time in the ids that are generated after `seed`."""


class _Clock:
    """Milliseconds for ids: the current time, or a count from `SEEDED_FROM`.

    It never returns the same value twice.
    """

    def __init__(self) -> None:
        self._last = 0
        self._is_seeded = False

    def seed(self) -> None:
        self._last = round(SEEDED_FROM.timestamp() * 1_000)
        self._is_seeded = True

    def tick(self) -> int:
        now = 0 if self._is_seeded else time_ns() // 1_000_000
        self._last = max(self._last + 1, now)
        return self._last


_clock = _Clock()


def new_id() -> UUID:
    """Return a UUID of version 7, greater than every earlier one.

    After `seed`, the same ids follow in the same order.
    """
    timestamp = _clock.tick() << 80
    return UUID(
        int=timestamp
        | 7 << 76
        | randgen.getrandbits(12) << 64
        | 0b10 << 62
        | randgen.getrandbits(62)
    )


def new_embedding(dimensions: int | None = None) -> Vector:
    """Return a random vector of norm 1.

    Its dimension is by default that of the database that was opened last, or 1,024.
    """
    size = newest_dimensions() if dimensions is None else dimensions
    components = [randgen.gauss(0, 1) for _ in range(size)]
    norm = math.hypot(*components)
    return Vector([component / norm for component in components])


class _ModelIsTheArgument(FactoryMetaClass):
    """Sets `Meta.model` of a factory from the type argument of its base class.

    factory_boy reads the model from `Meta`; type checkers see the type argument.
    """

    def __new__(cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any]) -> Any:
        for base in namespace.get("__orig_bases__", ()):
            if isinstance(get_args(base)[0], type):
                namespace.setdefault("Meta", type("Meta", (), {"model": get_args(base)[0]}))
        return super().__new__(cls, name, bases, namespace)


class EntityFactory(Factory[EntityT], metaclass=_ModelIsTheArgument):
    """Builds entities that are valid and not yet written; a keyword of `build` sets a field.

    `class ReviewFactory(EntityFactory[Review])` builds reviews. `created_at` and its like are left
    to the database unless given. Fields are `Any`, so that a derived factory may declare
    each as a value or as another declaration.
    """

    if TYPE_CHECKING:
        # factory_boy leaves the keywords without types, which strict type checkers report.

        @classmethod
        def build(cls, **fields: Any) -> EntityT: ...

        @classmethod
        def build_batch(cls, size: int, **fields: Any) -> list[EntityT]: ...


def _factories(base: type[EntityFactory[Any]]) -> Iterator[type[EntityFactory[Any]]]:
    for derived in base.__subclasses__():
        yield derived
        yield from _factories(derived)


def seed(value: int) -> None:
    """Seed the factories: after the same seed, the same calls build the same entities and ids.

    It applies to all factories of this process, including those that you derive.
    """
    reseed_random(value)
    _clock.seed()
    for derived in _factories(EntityFactory):
        derived.reset_sequence(0, force=True)
