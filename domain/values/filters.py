"""Filters: typed, frozen conditions over columns and over paths in JSON.

Start one with `where`, and combine several with `&`, `|` and `~`::

    where("source_type").one_of(["doc", "code"]) & ~where("metadata", "archived").equals(True)

A comparison with a missing value is false, and its negation is true. There are two truth values, in
PostgreSQL and in the fakes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from itertools import islice
from typing import Final, NoReturn, TypeAlias
from uuid import UUID

from domain.errors import InvalidFilter
from domain.values.shown import kind_of

Scalar: TypeAlias = str | int | float | bool | Decimal | datetime | date | UUID

MAX_CONDITIONS: Final = 100
MAX_CHOICES: Final = 10_000
MAX_PATH: Final = 20


class Operator(StrEnum):
    """A comparison of a value with another one."""

    EQUAL = "="
    LESS = "<"
    LESS_OR_EQUAL = "<="
    GREATER = ">"
    GREATER_OR_EQUAL = ">="


class TextOperator(StrEnum):
    """A test of a text."""

    PREFIX = "starts_with"
    SUBSTRING = "contains_text"
    GLOB = "matches_glob"


class Filter:
    """A condition that a row meets or does not meet. Start one with `where`."""

    __slots__ = ()

    def __and__(self, other: Filter) -> Filter:
        return AllOf((*_parts(self, AllOf), *_parts(_require_filter(other), AllOf)))

    def __or__(self, other: Filter) -> Filter:
        return AnyOf((*_parts(self, AnyOf), *_parts(_require_filter(other), AnyOf)))

    def _not_combined(self, other: object) -> NoReturn:
        raise not_a_filter(other)

    # `(where("repo") == "x") & …`: Python has evaluated the comparison to False by then.
    __rand__ = __ror__ = _not_combined

    def __invert__(self) -> Filter:
        return Not(self)

    def __bool__(self) -> NoReturn:
        # `a and b` would be b alone, and `not a` would be False.
        raise InvalidFilter(
            "a filter is neither true nor false: combine filters with & in place of and, | in place"
            " of or, and ~ in place of not; test for a missing filter with `is None`",
            field="where",
        )


@dataclass(frozen=True, slots=True)
class Compare(Filter):
    """The value at `path` compares with `value`."""

    path: tuple[str, ...]
    operator: Operator
    value: Scalar


@dataclass(frozen=True, slots=True)
class OneOf(Filter):
    """The value at `path` is one of `values`."""

    path: tuple[str, ...]
    values: tuple[Scalar, ...]


@dataclass(frozen=True, slots=True)
class Exists(Filter):
    """There is a value at `path`: the column is not NULL, or the JSON object has the key."""

    path: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class IsNull(Filter):
    """The column is NULL, or the JSON value is null or missing."""

    path: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Contains(Filter):
    """The list at `path` contains `every` one of `values`, or any of them."""

    path: tuple[str, ...]
    values: tuple[Scalar, ...]
    every: bool


@dataclass(frozen=True, slots=True)
class TextMatch(Filter):
    """The text at `path` passes the test with `text`."""

    path: tuple[str, ...]
    operator: TextOperator
    text: str


@dataclass(frozen=True, slots=True)
class AllOf(Filter):
    """Every part is met; without parts, every row meets it."""

    parts: tuple[Filter, ...] = ()


@dataclass(frozen=True, slots=True)
class AnyOf(Filter):
    """At least one part is met; without parts, no row meets it."""

    parts: tuple[Filter, ...] = ()


@dataclass(frozen=True, slots=True)
class Not(Filter):
    """The part is not met."""

    part: Filter


Condition: TypeAlias = Compare | OneOf | Exists | IsNull | Contains | TextMatch
"""A filter without parts."""


def _require_filter(value: Filter) -> Filter:
    if not isinstance(value, Filter):
        raise not_a_filter(value)
    return value


def _parts(condition: Filter, kind: type[AllOf | AnyOf]) -> tuple[Filter, ...]:
    return condition.parts if isinstance(condition, kind) else (condition,)


@dataclass(frozen=True, slots=True)
class Where:
    """A column, or a path in a JSON column, that the next call puts a condition on."""

    path: tuple[str, ...]

    def equals(self, value: Scalar) -> Filter:
        """Met if the value is `value`. A date in JSON equals a datetime of the same moment."""
        return Compare(self.path, Operator.EQUAL, value)

    def not_equals(self, value: Scalar) -> Filter:
        """Met if the value is another one, or missing."""
        return Not(self.equals(value))

    def less_than(self, value: Scalar) -> Filter:
        """Met if the value is less; text compares by code point.

        In JSON, a datetime compares with RFC 3339 text that has an offset, and with nothing else.
        """
        return Compare(self.path, Operator.LESS, value)

    def at_most(self, value: Scalar) -> Filter:
        """Met if the value is less or equal."""
        return Compare(self.path, Operator.LESS_OR_EQUAL, value)

    def greater_than(self, value: Scalar) -> Filter:
        """Met if the value is greater."""
        return Compare(self.path, Operator.GREATER, value)

    def at_least(self, value: Scalar) -> Filter:
        """Met if the value is greater or equal."""
        return Compare(self.path, Operator.GREATER_OR_EQUAL, value)

    def one_of(self, values: Iterable[Scalar]) -> Filter:
        """Met if the value is any of `values`; without values, no row meets it."""
        return OneOf(self.path, self._values(values, "one_of"))

    def contains(self, value: Scalar) -> Filter:
        """Met if the list at this path, in JSON or in an array column, contains `value`."""
        return Contains(self.path, (value,), every=True)

    def contains_any(self, values: Iterable[Scalar]) -> Filter:
        """Met if the list contains any of `values`; without values, no row meets it."""
        return Contains(self.path, self._values(values, "contains_any"), every=False)

    def contains_all(self, values: Iterable[Scalar]) -> Filter:
        """Met if the list contains all of `values`; without values, each list meets it."""
        return Contains(self.path, self._values(values, "contains_all"), every=True)

    def starts_with(self, prefix: str) -> Filter:
        """Met if the text starts with `prefix`, in the same case."""
        return TextMatch(self.path, TextOperator.PREFIX, prefix)

    def contains_text(self, part: str) -> Filter:
        """Met if the text contains `part`, in the same case."""
        return TextMatch(self.path, TextOperator.SUBSTRING, part)

    def matches_glob(self, pattern: str) -> Filter:
        """Met if the path matches a glob such as `src/api/**`; see `domain.values.globs`."""
        return TextMatch(self.path, TextOperator.GLOB, pattern)

    def exists(self) -> Filter:
        """Met if there is a value. In JSON, null is a value."""
        return Exists(self.path)

    def is_null(self) -> Filter:
        """Met if the column is NULL, or the JSON value is null or missing."""
        return IsNull(self.path)

    def _unfinished(self, *_: object) -> NoReturn:
        raise not_a_filter(self)

    # Operators compare nothing here: without these, Python's own errors would not tell what to
    # write, and `not where("stale")` would be False.
    __bool__ = __invert__ = __and__ = __or__ = _unfinished
    __lt__ = __le__ = __gt__ = __ge__ = _unfinished

    def _values(self, values: Iterable[Scalar], method: str) -> tuple[Scalar, ...]:
        if isinstance(values, str | bytes | Mapping) or not isinstance(values, Iterable):
            raise InvalidFilter(
                f"{method}() takes a list of values, not {kind_of(values)}",
                field=str(self.path[0]),
            )
        # One more than a filter takes: checks refuse it, however many there are.
        return tuple(islice(values, MAX_CHOICES + 1))


def where(column: str, *keys: str) -> Where:
    """Start a condition on `column`, or on the value at `keys` inside a JSON column."""
    return Where((column, *keys))


def leaves(condition: Filter) -> Iterator[Condition]:
    """Yield the conditions in a filter, in order, however deep it is nested.

    Raises:
        InvalidFilter: a part is not a filter.
    """
    parts: list[Filter] = [condition]
    while parts:
        match parts.pop():
            case AllOf(inner) | AnyOf(inner):
                parts += reversed(inner)
            case Not(part):
                parts.append(part)
            case Compare() | OneOf() | Exists() | IsNull() | Contains() | TextMatch() as leaf:
                yield leaf
            case other:
                raise not_a_filter(other)


def not_a_filter(value: object) -> InvalidFilter:
    """Return the error for a value in place of a filter."""
    if isinstance(value, Where):
        message = (
            "where(…) needs a method to become a filter: write where(…).equals(value), or"
            " less_than() in place of <, ~where(…).exists() in place of ~where(…)"
        )
    elif isinstance(value, bool):
        message = (
            f"a filter is made with where(), and this is {value}: write where(…).equals(value) in"
            " place of =="
        )
    else:
        message = (
            f"a filter is made with where(), and this is {kind_of(value)}: write"
            ' where("column").equals(value)'
        )
    return InvalidFilter(message, field="where")


def batches(values: Sequence[Scalar], characters: int) -> Iterator[Sequence[Scalar]]:
    """Yield the values in lists that a filter can take at once."""
    start, size = 0, 0
    for place, value in enumerate(values):
        size += len(value) if isinstance(value, str) else 1
        if place > start and (place - start == MAX_CHOICES or size > characters):
            yield values[start:place]
            start, size = place, len(value) if isinstance(value, str) else 1
    if start < len(values):
        yield values[start:]
