"""Filters, evaluated on rows in memory."""

from __future__ import annotations

import math
import operator
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from domain.values.filter_rules import check_filter
from domain.values.filters import (
    AllOf,
    AnyOf,
    Compare,
    Contains,
    Exists,
    Filter,
    IsNull,
    Not,
    OneOf,
    Operator,
    Scalar,
    TextMatch,
    TextOperator,
)
from domain.values.globs import glob_matches, parse_glob
from domain.values.jsonb import FrozenDict
from domain.values.rfc3339 import microseconds, microseconds_of

if TYPE_CHECKING:
    from domain.schema.base import Entity
    from repositories.fakes.checks import Row
    from repositories.fakes.writes import Condition

_MISSING: Final = object()
_COMPARISONS: Final[Mapping[Operator, Callable[[Any, Any], bool]]] = {
    Operator.EQUAL: operator.eq,
    Operator.LESS: operator.lt,
    Operator.LESS_OR_EQUAL: operator.le,
    Operator.GREATER: lambda left, right: left > right or _is_nan(left),
    Operator.GREATER_OR_EQUAL: lambda left, right: left >= right or _is_nan(left),
}


def _is_nan(value: object) -> bool:
    # PostgreSQL sorts NaN after every number.
    return isinstance(value, float) and math.isnan(value)


def meeting(entity: type[Entity], *conditions: Filter | None) -> Condition:
    """Return the condition that a row meets if it meets all filters; None is met by every row.

    Raises:
        InvalidFilter: a filter does not fit the entity.
    """
    every = [
        _predicate(check_filter(condition, entity))
        for condition in conditions
        if condition is not None
    ]
    return lambda row: all(meets(row) for meets in every)


def _predicate(condition: Filter) -> Condition:
    match condition:
        case AllOf(parts):
            every = [_predicate(part) for part in parts]
            return lambda row: all(meets(row) for meets in every)
        case AnyOf(parts):
            some = [_predicate(part) for part in parts]
            return lambda row: any(meets(row) for meets in some)
        case Not(part):
            meets_part = _predicate(part)
            return lambda row: not meets_part(row)
        case Compare(path, comparison, value):
            return _comparing(path, comparison, value)
        case OneOf(path, values):
            return _choosing(path, values)
        case Contains(path, values, every_value):
            return _containing(path, values, every=every_value)
        case TextMatch(path, text_operator, text):
            return _testing_text(path, text_operator, text)
        case Exists(path):
            return lambda row: (
                (value := _at(row, path)) is not _MISSING and (value is not None or len(path) > 1)
            )
        case IsNull(path):
            return lambda row: _at(row, path) in (None, _MISSING)
        case _:
            raise TypeError(f"{type(condition).__name__} is not a filter")


def _comparing(path: tuple[str, ...], comparison: Operator, value: Scalar) -> Condition:
    right, read = _comparable(path, value), _reading(path, value)
    kind, holds = _kind(right), _COMPARISONS[comparison]

    def compares(row: Row) -> bool:
        # A missing value has a kind that no value has.
        left = read(row)
        return _kind(left) is kind and holds(left, right)

    return compares


def _reading(path: tuple[str, ...], value: Scalar) -> Callable[[Row], Any]:
    """Return the function that reads the value of a row to compare with `value`."""
    if len(path) == 1 or not isinstance(value, datetime):
        return lambda row: _at(row, path)

    def read_date(row: Row) -> Any:
        text = _at(row, path)
        moment = microseconds(text) if isinstance(text, str) else None
        return _MISSING if moment is None else _Moment(moment)

    return read_date


def _comparable(path: tuple[str, ...], value: Scalar) -> Any:
    if len(path) > 1 and isinstance(value, datetime):
        return _Moment(microseconds_of(value))
    return value


def _choosing(path: tuple[str, ...], values: Iterable[Scalar]) -> Condition:
    choices: defaultdict[type[Any], set[Any]] = defaultdict(set)
    readers = {type(value): _reading(path, value) for value in values}
    for value in values:
        right = _comparable(path, value)
        choices[_kind(right)].add(right)

    def is_chosen(row: Row) -> bool:
        lefts = (read(row) for read in readers.values())
        return any(_kind(left) in choices and left in choices[_kind(left)] for left in lefts)

    return is_chosen


def _containing(path: tuple[str, ...], values: Iterable[Scalar], *, every: bool) -> Condition:
    needed = {(_kind(value), value) for value in values}

    def contains(row: Row) -> bool:
        elements = _at(row, path)
        if not isinstance(elements, list | tuple):
            return False
        scalars = (element for element in elements if not isinstance(element, list | dict))
        present = {(_kind(element), element) for element in scalars}
        return needed <= present if every else not needed.isdisjoint(present)

    return contains


def _testing_text(path: tuple[str, ...], text_operator: TextOperator, text: str) -> Condition:
    glob = parse_glob(text, path[0]) if text_operator is TextOperator.GLOB else ()

    def passes(row: Row) -> bool:
        value = _at(row, path)
        if not isinstance(value, str):
            return False
        match text_operator:
            case TextOperator.PREFIX:
                return value.startswith(text)
            case TextOperator.SUBSTRING:
                return text in value
            case TextOperator.GLOB:
                return glob_matches(glob, value)

    return passes


@dataclass(frozen=True, slots=True, order=True)
class _Moment:
    """A date in JSON, which compares with dates only."""

    microseconds: int


def _at(row: Row, path: tuple[str, ...]) -> Any:
    name, *keys = path
    value = row[name]
    for key in keys:
        if not isinstance(value, FrozenDict) or key not in value:
            return _MISSING
        value = value[key]
    return value


def _kind(value: Any) -> type[Any]:
    # A flag is not a number, though Python says so. Numbers of every type compare with each other.
    if isinstance(value, bool):
        return bool
    if isinstance(value, int | float | Decimal):
        return Decimal
    return str if isinstance(value, str) else type(value)
