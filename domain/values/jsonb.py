"""JSON values as PostgreSQL's `jsonb` stores them: normalised on input, and immutable.

jsonb stores numbers as `numeric`, so it returns `1e22` as an integer and `-0.0` as `0.0`. It
refuses NaN, infinity, NUL and lone surrogates. The same normalisation on input makes an entity
equal to its own row, on the server and in a fake.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, time
from decimal import Decimal
from functools import partial
from numbers import Integral, Real
from typing import Annotated, Any, Final, NoReturn
from uuid import UUID

from pydantic import BaseModel, PlainValidator, WithJsonSchema

from domain.values.shown import kind_of
from domain.values.text import storable

dumps: Final = partial(json.dumps, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
"""Serialize to JSON text that PostgreSQL accepts: NaN and infinity raise ValueError."""

MAX_DEPTH = 100
"""Levels of nesting; jsonb accepts more, but Python's parser does not."""

MAX_INTEGER = 10**1000

MAX_VALUES: Final = 10_000
"""Members of all objects and elements of all arrays together.

The event loop waits while Python reads or writes a value: 10 ms for the largest.
"""

MAX_CHARACTERS: Final = 2_000_000
"""Characters of all keys and texts together."""


def _raise_frozen(*_: object, **__: object) -> NoReturn:
    raise TypeError(
        "lists and JSON of an entity cannot be changed in place: assign a new value to the field"
    )


_refuse: Any = _raise_frozen
_NESTING: Final = frozenset({dict, list})


class FrozenDict(dict[str, Any]):
    """A JSON object of an entity, which cannot be changed in place.

    SQLAlchemy would not notice such a change. Assign a new value to the field instead.
    """

    __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = setdefault = update = _refuse

    def __reduce__(self) -> tuple[type, tuple[dict[str, Any]]]:
        return type(self), (dict(self),)

    def __copy__(self) -> FrozenDict:
        return self

    def __deepcopy__(self, _: dict[int, Any]) -> FrozenDict:
        return self


class FrozenList(list[Any]):
    """A JSON array of an entity, which cannot be changed in place, like `FrozenDict`."""

    __setitem__ = __delitem__ = __iadd__ = __imul__ = _refuse
    append = clear = extend = insert = pop = remove = reverse = sort = _refuse

    def __reduce__(self) -> tuple[type, tuple[list[Any]]]:
        return type(self), (list(self),)

    def __copy__(self) -> FrozenList:
        return self

    def __deepcopy__(self, _: dict[int, Any]) -> FrozenList:
        return self


_WEIGHTY: Final = frozenset({str, dict, list, FrozenDict, FrozenList})


def _number(value: float) -> float | int:
    if not math.isfinite(value):
        raise ValueError("JSON has no NaN and no infinity: write None")
    if value == 0:
        return 0.0
    written = repr(value)
    if "e" in written and value.is_integer():
        return int(Decimal(written))
    return value


@dataclass(slots=True)
class _Room:
    """The values and characters that still fit within the bounds."""

    values: int = MAX_VALUES
    characters: int = MAX_CHARACTERS

    def take(self, values: int = 0, characters: int = 0) -> None:
        self.values -= values
        self.characters -= characters
        if self.values < 0:
            raise ValueError(f"JSON has more than {MAX_VALUES:,} values: store it in several rows")
        if self.characters < 0:
            raise ValueError(
                f"JSON has more than {MAX_CHARACTERS:,} characters: store text in a field of text"
            )


def normalise(value: object) -> Any:
    """Return `value` as jsonb returns it, frozen.

    Raises:
        ValueError: `value` is not JSON (another type, a key that is not a string, NaN, infinity),
            contains text that PostgreSQL cannot store, is nested too deeply, or has more values or
            characters than the bounds.
    """
    return _normalise(value, _Room(), 0)


def _normalise(value: object, room: _Room, depth: int) -> Any:
    if depth > MAX_DEPTH:
        raise ValueError(f"JSON is nested deeper than {MAX_DEPTH} levels: store a flatter value")
    match value:
        case None | bool():
            return value
        case str():
            return _text(value, room)
        case int():
            if abs(value) >= MAX_INTEGER:
                raise ValueError("a JSON integer has more than 1,000 digits: write str(value)")
            return int(value)
        case float():
            return _number(float(value))
        case Mapping():
            room.take(len(value))
            return FrozenDict(
                {_key(key, room): _normalise(item, room, depth + 1) for key, item in value.items()}
            )
        case list() | tuple():
            room.take(len(value))
            return FrozenList(_normalise(item, room, depth + 1) for item in value)
        case _:
            raise ValueError(f"{kind_of(value)} is not JSON: {_advice(value)}")


def _key(key: object, room: _Room) -> str:
    if not isinstance(key, str):
        raise ValueError(f"a JSON key must be text, not {kind_of(key)}: write str(key)")
    return _text(key, room)


def _advice(value: object) -> str:
    match value:
        case date() | time():  # and datetime
            return "write value.isoformat()"
        case UUID():
            return "write str(value)"
        case Decimal():
            return "write float(value), or str(value) to keep all digits"
        case bytes() | bytearray() | memoryview():
            return "write text, such as base64"
        case Integral():
            return "write int(value)"
        case Real():
            return "write float(value)"
        case BaseModel():
            return "write value.model_dump(mode='json')"
        case _ if hasattr(value, "tolist"):  # an array, or a scalar of numpy such as bool_
            return "write value.tolist()"
        case Iterable():
            return "write list(value)"
        case _:
            return "write text, a number, True, False, None, a list, or a mapping with text as keys"


def _text(text: str, room: _Room) -> str:
    room.take(characters=len(text))
    return storable(text)


def freeze(value: Any) -> Any:
    """Return parsed JSON with frozen objects and arrays.

    It checks nothing: use it for values from the server.
    """
    if isinstance(value, dict):
        if _NESTING.isdisjoint(map(type, value.values())):
            return FrozenDict(value)
        return FrozenDict({key: freeze(item) for key, item in value.items()})
    if isinstance(value, list):
        if _NESTING.isdisjoint(map(type, value)):
            return FrozenList(value)
        return FrozenList([freeze(item) for item in value])
    return value


def weight(value: Any) -> int:
    """Return how much work parsed JSON is: its values, and one more for each 200 characters."""
    if isinstance(value, str):
        return len(value) * MAX_VALUES // MAX_CHARACTERS
    if isinstance(value, dict):
        keys = sum(map(len, value)) * MAX_VALUES // MAX_CHARACTERS
        return len(value) + keys + _weight_of_all(value.values())
    return len(value) + _weight_of_all(value) if isinstance(value, list) else 0


def _weight_of_all(values: Collection[Any]) -> int:
    return 0 if _WEIGHTY.isdisjoint(map(type, values)) else sum(map(weight, values))


def _object(value: object) -> Any:
    if not isinstance(value, Mapping):
        raise ValueError(f"must be a JSON object, not {kind_of(value)}: write a mapping")
    return normalise(value)


Json = Annotated[Any, PlainValidator(normalise)]
"""Any JSON value, normalised and frozen: at most 10,000 values and 2,000,000 characters."""

JsonObject = Annotated[
    Mapping[str, Any],
    PlainValidator(_object),
    WithJsonSchema({"type": "object", "additionalProperties": True}),
]
"""A JSON object, normalised and frozen: at most 10,000 values and 2,000,000 characters."""
