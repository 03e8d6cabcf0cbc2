"""Filters: typed, frozen conditions over columns and over paths in JSON.

Built with `where`, combined with `&`, `|` and `~`::

    where("source_type").one_of(["doc", "code"]) & ~where("metadata", "archived").equals(True)

A comparison with a value that is missing is false, and its negation is true: two truth values, in
PostgreSQL and in a fake alike.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import TypeAlias
from uuid import UUID

from domain.errors import InvalidFilter

Scalar: TypeAlias = str | int | float | bool | Decimal | datetime | UUID

MAX_CONDITIONS = 100
MAX_CHOICES = 10_000
MAX_PATH = 20


class Operator(StrEnum):
    """How a value is compared."""

    EQUAL = "="
    LESS = "<"
    LESS_OR_EQUAL = "<="
    GREATER = ">"
    GREATER_OR_EQUAL = ">="


class Filter:
    """A condition that a row meets or does not. Make one with `where`."""

    __slots__ = ()

    def __and__(self, other: Filter) -> Filter:
        return AllOf((*_parts(self, AllOf), *_parts(other, AllOf)))

    def __or__(self, other: Filter) -> Filter:
        return AnyOf((*_parts(self, AnyOf), *_parts(other, AnyOf)))

    def __invert__(self) -> Filter:
        return Not(self)


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
    """There is a value at `path`: the column is not NULL, or the JSON path leads somewhere."""

    path: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AllOf(Filter):
    """Every part is met; with no part, every row is."""

    parts: tuple[Filter, ...] = ()


@dataclass(frozen=True, slots=True)
class AnyOf(Filter):
    """At least one part is met; with no part, no row is."""

    parts: tuple[Filter, ...] = ()


@dataclass(frozen=True, slots=True)
class Not(Filter):
    """The part is not met."""

    part: Filter


def _parts(condition: Filter, kind: type[AllOf | AnyOf]) -> tuple[Filter, ...]:
    return condition.parts if isinstance(condition, kind) else (condition,)


@dataclass(frozen=True, slots=True)
class Where:
    """A column, or a path in a JSON column, that a condition is about to be put on."""

    path: tuple[str, ...]

    def equals(self, value: Scalar) -> Filter:
        """Met where the value is `value`."""
        return Compare(self.path, Operator.EQUAL, value)

    def less_than(self, value: Scalar) -> Filter:
        """Met where the value is less; text compares by code point."""
        return Compare(self.path, Operator.LESS, value)

    def at_most(self, value: Scalar) -> Filter:
        """Met where the value is less or equal."""
        return Compare(self.path, Operator.LESS_OR_EQUAL, value)

    def greater_than(self, value: Scalar) -> Filter:
        """Met where the value is greater."""
        return Compare(self.path, Operator.GREATER, value)

    def at_least(self, value: Scalar) -> Filter:
        """Met where the value is greater or equal."""
        return Compare(self.path, Operator.GREATER_OR_EQUAL, value)

    def one_of(self, values: Iterable[Scalar]) -> Filter:
        """Met where the value is any of `values`; with none, no row is."""
        return OneOf(self.path, tuple(values))

    def exists(self) -> Filter:
        """Met where there is a value."""
        return Exists(self.path)


def where(column: str, *keys: str) -> Where:
    """Start a condition on `column`, or on the value at `keys` inside a JSON column."""
    return Where((column, *keys))


def conditions(condition: Filter) -> Sequence[Compare | OneOf | Exists]:
    """Return the conditions that the filter is made of, in order; however deep it is nested."""
    found: list[Compare | OneOf | Exists] = []
    left = [condition]
    while left:
        match left.pop():
            case AllOf(parts) | AnyOf(parts):
                left += reversed(parts)
            case Not(part):
                left.append(part)
            case Compare() | OneOf() | Exists() as leaf:
                found.append(leaf)
            case _:
                raise InvalidFilter("a filter is made with where()", field="where")
    return found


def require_selective(condition: Filter | None) -> Filter:
    """Return `condition` if it names at least one column; what deletes refuses anything less.

    Raises:
        InvalidFilter: it is None or has no condition, so that it would match every row.
    """
    if condition is None or not conditions(condition):
        raise InvalidFilter("an empty filter would match every row", field="where")
    return condition
