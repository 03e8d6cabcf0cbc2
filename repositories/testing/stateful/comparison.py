"""Compare the outcomes of calls, in a form that both sides share."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from pydantic import BaseModel, ValidationError

from domain import Page, SearchHits, Vector
from domain.errors import RecollectError
from domain.schema.base import Entity
from domain.values.jsonb import FrozenDict

TOLERANCE: Final = 1e-6
"""Relative, because the server computes the ranks of words in 32 bits."""

_FACTS: Final = ("constraint", "table", "column", "field", "entity", "key", "recorded", "requested")


@dataclass(frozen=True, slots=True)
class Returned:
    """The value that a call returned."""

    value: Any


@dataclass(frozen=True, slots=True)
class Raised:
    """The error that a call raised, with its attributes."""

    kind: str
    facts: Mapping[str, Any]


Outcome = Returned | Raised


async def outcome_of(call: Callable[[], Awaitable[Any]]) -> Outcome:
    """Await the call; an error that is not the library's own is raised."""
    try:
        return Returned(await call())
    except ValidationError as error:
        return Raised(
            type(error).__name__,
            {
                "fields": sorted(
                    {str(detail["loc"]) for detail in error.errors(include_input=False)}
                )
            },
        )
    except RecollectError as error:
        return Raised(
            type(error).__name__,
            {name: getattr(error, name) for name in _FACTS if hasattr(error, name)},
        )


def entities_in(value: Any) -> Sequence[Entity]:
    """Return the entities that a read returned, in order."""
    match value:
        case Entity():
            return [value]
        case Page():
            return list(value.items)
        case Mapping():
            return [item for item in value.values() if isinstance(item, Entity)]
        case list() | tuple():
            return [item for item in value if isinstance(item, Entity)]
        case _:
            return []


def plain(value: Any, since: datetime) -> Any:
    """Return the value as lists, tuples and scalars.

    A time after `since` is the server's, and an id of version 7 is generated: they differ between
    the sides, and are replaced.
    """
    match value:
        case datetime():
            return "now" if value >= since else value
        case UUID():
            return "generated" if value.version == 7 else value.int
        case FrozenDict():
            return sorted((key, plain(item, since)) for key, item in value.items())
        case Mapping():
            # The order of the items is compared as well.
            return [(key, plain(item, since)) for key, item in value.items()]
        case list() | tuple() | SearchHits():
            return [plain(item, since) for item in value]
        case _:
            return _plain_parts(value, since)


def _plain_parts(value: Any, since: datetime) -> Any:
    match value:
        case Vector():
            return value.to_list()
        case Entity():
            named = [
                (name, vars(value)[name])
                for name in type(value).model_fields
                if name in vars(value)
            ]
        case BaseModel():
            named = [(name, getattr(value, name)) for name in type(value).model_fields]
        case _ if is_dataclass(value) and not isinstance(value, type):
            named = [(field.name, getattr(value, field.name)) for field in fields(value)]
        case _:
            return value
    return (type(value).__name__, *((name, plain(part, since)) for name, part in named))


def differences(one: Any, other: Any, path: str = "") -> Iterator[str]:
    """Yield the places where two plain values differ; floats may differ by `TOLERANCE`."""
    if isinstance(one, float) and isinstance(other, float):
        if not math.isclose(one, other, rel_tol=TOLERANCE, abs_tol=1e-12):
            yield f"{path}: {one!r} and {other!r}"
    elif type(one) is not type(other):
        yield f"{path}: {one!r} and {other!r}"
    elif isinstance(one, list | tuple):
        if len(one) != len(other):
            yield f"{path}: {one!r} and {other!r}"
        for index, (left, right) in enumerate(zip(one, other, strict=False)):
            yield from differences(left, right, f"{path}[{index}]")
    elif one != other:
        yield f"{path}: {one!r} and {other!r}"
