"""Values that a filter compares with a column, converted to the type of the column."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final, TypeAlias
from uuid import UUID

from pydantic import AwareDatetime

from domain.values.filters import Scalar
from domain.values.ids import require_id
from domain.values.jsonb import normalise
from domain.values.shown import kind_of
from domain.values.text import storable

Coerce: TypeAlias = Callable[[Any], Scalar]
"""Converts a value, or raises TypeError, ValueError, OverflowError or InvalidInput."""

LEAST_EXPONENT: Final = -324
"""The power of ten of the least float above 0, and of a number that a decimal is compared with."""

MAX_BYTES: Final = 4_000
"""Memory of a number that a decimal is compared with: 9,000 digits.

PostgreSQL takes 16,383 digits after the point.
"""


def _number(value: object) -> int | float | Decimal:
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise TypeError
    if not math.isfinite(value):
        raise ValueError
    return value


def to_integer(value: object, *, limit: int) -> int:
    """Return a whole number of at most `limit` and at least `-limit - 1`."""
    number = _number(value)
    if number != int(number) or not -limit - 1 <= number <= limit:
        raise ValueError
    return int(number)


def to_decimal(value: object) -> Decimal:
    """Return a number in the range of float as an exact decimal."""
    number = _number(value)
    exact = Decimal(float.__repr__(number)) if isinstance(number, float) else Decimal(number)
    if exact.adjusted() < LEAST_EXPONENT or sys.getsizeof(exact) > MAX_BYTES:
        raise ValueError
    return exact


def to_float(value: object) -> float:
    """Return a finite number as a float."""
    return float(_number(value))


def _exactly(kind: type[Any], value: object) -> Any:
    if not isinstance(value, kind):
        raise TypeError
    return value


def to_text(value: object) -> str:
    """Return text that PostgreSQL can store."""
    return storable(_exactly(str, value))


def to_moment(value: object) -> datetime:
    """Return a datetime with a time zone, in UTC."""
    moment: datetime = _exactly(datetime, value)
    if moment.utcoffset() is None:
        raise ValueError
    return moment.astimezone(UTC)


def to_date(value: object) -> date:
    """Return a date; a datetime does not convert."""
    if isinstance(value, datetime):
        raise TypeError
    day: date = _exactly(date, value)
    return day


def to_bool(value: object) -> bool:
    """Return True or False; no other value converts."""
    return bool(_exactly(bool, value))


def to_id(value: object) -> UUID:
    """Return an id as a `uuid.UUID`."""
    return require_id(value, "the value")


def to_json(value: object) -> Scalar:
    """Return a scalar that JSON can hold, or a datetime in UTC."""
    return to_moment(value) if isinstance(value, datetime) else to_json_element(value)


def to_json_element(value: object) -> Scalar:
    """Return a scalar that JSON can hold, as PostgreSQL stores it."""
    match value:
        case str():
            return storable(value)
        case int() | float():
            scalar: Scalar = normalise(value)
            return scalar
        case _:
            raise TypeError


CONVERTERS: Final[Mapping[Any, Coerce]] = {
    bool: to_bool,
    AwareDatetime: to_moment,
    datetime: to_moment,
    date: to_date,
    Decimal: to_decimal,
    float: to_float,
    str: to_text,
    UUID: to_id,
}

_EXPECTED: Final[Mapping[Any, str]] = {
    to_bool: "True or False",
    to_moment: "a datetime with a time zone",
    to_date: "a date, such as value.date() of a datetime",
    to_decimal: "a number in the range of float, with at most 9,000 digits",
    to_float: "a finite number",
    to_text: "text that PostgreSQL can store",
    to_json: "text, a finite number, True or False, or a datetime with a time zone",
    to_json_element: "text, a finite number, True or False",
}


def no_comparison(name: str, value: object, coerce: Coerce) -> str:
    """Return the message for a value that the converter refused, with what to write instead."""
    message = f"{name} cannot be compared with this {kind_of(value)}"
    takes_moments = coerce in (to_moment, to_json)
    in_json = coerce in (to_json, to_json_element)
    match value:
        case None:
            return f"{message}: write is_null(), or ~ and is_null() for the opposite"
        case list() | tuple() | set() | frozenset():
            return (
                f"{message}: write one_of() if the value is one of several, or contains(),"
                " contains_any() or contains_all() if it is a list itself"
            )
        case date() if coerce is to_json_element:  # and datetime
            return f"{message}: write the text that the list has, such as value.isoformat()"
        case datetime() if takes_moments and value.utcoffset() is None:
            return f"{message} without a time zone: write one with tzinfo=UTC or another zone"
        case date() if takes_moments and not isinstance(value, datetime):
            return f"{message}: write a datetime with a time zone"
        case Decimal() if in_json and value.is_finite():
            return f"{message}: write float(value), which is how JSON numbers are stored"
        case UUID() if in_json:
            return f"{message}: write str(value)"
        case str() if in_json:
            return f"{message}: write text that PostgreSQL can store"
        case _:
            return f"{message}: {_expectation(coerce)}"


def _expectation(coerce: Coerce) -> str:
    if isinstance(coerce, type) and issubclass(coerce, StrEnum):
        return f"write one of {', '.join(map(repr, map(str, coerce)))}"
    return f"write {_EXPECTED.get(coerce, 'a whole number within the range of the column')}"
