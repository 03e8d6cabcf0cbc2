"""Conversion of values to the types of PostgreSQL's columns, before constraints are checked."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_UP, Decimal, DecimalException
from enum import StrEnum
from functools import partial
from typing import Any, Final, TypeAlias
from uuid import UUID

from domain import Vector
from domain.errors import InvalidEmbedding, InvalidInput, UnexpectedFailure
from domain.values.jsonb import FrozenDict, FrozenList, normalise
from domain.values.numbers import INT32_MAX, INT64_MAX
from domain.values.text import storable

Store: TypeAlias = Callable[[Any], Any]


class UnknownType(UnexpectedFailure):
    """A column has a type that the fakes do not know."""


def storing(name: str, column_type: Any, *, dimensions: int) -> Store:
    """Return the function that converts a value to the stored value of the column `name`.

    The function raises InvalidInput for a value that does not fit the type, and InvalidEmbedding
    for a vector of another dimension.

    Raises:
        UnknownType: the fakes do not know this type.
    """
    kind = type(column_type).__name__
    if kind == "EmbeddingColumn":
        return partial(_vector, name, dimensions)
    try:
        convert = _OF_TYPE[kind](column_type)
    except KeyError:
        raise UnknownType(f"the fakes cannot store the column {name} of type {kind}") from None
    return partial(_stored, convert)


def _stored(convert: Store, value: Any) -> Any:
    if value is None:
        return None
    try:
        return convert(value)
    except InvalidInput:
        raise
    except (TypeError, ValueError, OverflowError, DecimalException):
        # The server does not say which column.
        raise InvalidInput("a value does not fit the type of its column") from None


def _vector(name: str, dimensions: int, value: Any) -> Vector | None:
    if value is None:
        return None
    vector = Vector(value.to_list() if isinstance(value, Vector) else list(value))
    if vector.dimensions() != dimensions:
        raise InvalidEmbedding(
            f"the embedding has {vector.dimensions()} dimensions, not {dimensions}", field=name
        )
    if not all(map(math.isfinite, vector.to_list())):
        raise InvalidEmbedding(
            "a component of the embedding is NaN, infinite or beyond float32", field=name
        )
    return vector


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    if "\0" in value:
        raise InvalidInput("a text contains a character that PostgreSQL cannot store, such as NUL")
    return storable(value)


def _member(kind: type[StrEnum], value: Any) -> str:
    # The CHECK constraint refuses text that is not a member.
    return kind(value) if value in list(kind) else _text(value)


def _integer(limit: int, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError
    if not -limit - 1 <= value <= limit:
        raise ValueError
    return value


def _numeric(precision: int | None, scale: int | None, value: Any) -> Decimal:
    if precision is None:
        return Decimal(value)
    rounded = Decimal(value).quantize(Decimal(1).scaleb(-(scale or 0)), rounding=ROUND_HALF_UP)
    if abs(rounded) >= Decimal(10) ** (precision - (scale or 0)):
        raise InvalidInput("a number is outside the range of its column")
    return rounded


def _moment(value: Any) -> datetime:
    if value.utcoffset() is None:
        raise ValueError
    moment: datetime = value.astimezone(UTC)
    return moment


def _date(value: Any) -> date:
    if not isinstance(value, date):
        raise TypeError
    return date(value.year, value.month, value.day)


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError
    return value


def _array(convert: Store, value: Any) -> tuple[Any, ...]:
    return tuple(None if item is None else convert(item) for item in value)


def _list(convert: Store, value: Any) -> FrozenList:
    return FrozenList(_array(convert, value))


def _uuid(value: Any) -> UUID:
    return UUID(int=value.int) if isinstance(value, UUID) else UUID(value)


def _json(value: Any) -> Any:
    return _with_sorted_keys(normalise(value))


def _with_sorted_keys(value: Any) -> Any:
    # jsonb sorts the keys of an object by their length in bytes, then by their bytes.
    if isinstance(value, dict):
        keys = sorted(value, key=lambda key: (len(encoded := key.encode()), encoded))
        return FrozenDict({key: _with_sorted_keys(value[key]) for key in keys})
    return FrozenList(map(_with_sorted_keys, value)) if isinstance(value, list) else value


def _storing_items(array: Any) -> Store:
    return _OF_TYPE[type(array.item_type).__name__](array.item_type)


_OF_TYPE: Final[Mapping[str, Callable[[Any], Store]]] = {
    "ARRAY": lambda column_type: partial(_array, _storing_items(column_type)),
    "BigInteger": lambda _: partial(_integer, INT64_MAX),
    "Boolean": lambda _: _boolean,
    "Date": lambda _: _date,
    "Double": lambda _: float,
    "EnumText": lambda column_type: partial(_member, column_type.enum),
    "FrozenJsonb": lambda _: _json,
    "FrozenListArray": lambda column_type: partial(_list, _storing_items(column_type)),
    "Integer": lambda _: partial(_integer, INT32_MAX),
    "LargeBinary": lambda _: bytes,
    "Numeric": lambda column_type: partial(_numeric, column_type.precision, column_type.scale),
    "Text": lambda _: _text,
    "UTCDateTime": lambda _: _moment,
    "Uuid": lambda _: _uuid,
    "_CheckpointJsonb": lambda _: lambda value: value,
}
