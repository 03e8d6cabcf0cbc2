"""Filters, evaluated on a row in memory."""

from __future__ import annotations

import operator
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from domain.values.filter_rules import check_filter
from domain.values.filters import (
    AllOf,
    AnyOf,
    Compare,
    Exists,
    Filter,
    Not,
    OneOf,
    Operator,
    Scalar,
)
from domain.values.jsonb import FrozenDict

if TYPE_CHECKING:
    from domain.schema.base import Entity
    from repositories.fakes.checks import Row

Predicate: TypeAlias = "Callable[[Row], bool]"

_MISSING: Final = object()
_COMPARISONS: Final[Mapping[Operator, Callable[[Any, Any], bool]]] = {
    Operator.EQUAL: operator.eq,
    Operator.LESS: operator.lt,
    Operator.LESS_OR_EQUAL: operator.le,
    Operator.GREATER: operator.gt,
    Operator.GREATER_OR_EQUAL: operator.ge,
}


def meeting(entity: type[Entity], *conditions: Filter | None) -> Predicate:
    """Return the predicate that a row fulfils if it meets all filters; None is met by every row.

    Raises:
        InvalidFilter: it names no column of the entity, or compares what cannot be compared.
    """
    predicates = [
        _predicate(check_filter(condition, entity))
        for condition in conditions
        if condition is not None
    ]
    return lambda row: all(meets(row) for meets in predicates)


def _predicate(condition: Filter) -> Predicate:
    match condition:
        case AllOf(parts):
            every = [_predicate(part) for part in parts]
            return lambda row: all(meets(row) for meets in every)
        case AnyOf(parts):
            some = [_predicate(part) for part in parts]
            return lambda row: any(meets(row) for meets in some)
        case Not(part):
            unwanted = _predicate(part)
            return lambda row: not unwanted(row)
        case Compare(path, comparison, value):
            return _comparing(path, comparison, value)
        case OneOf(path, values):
            return _choosing(path, values)
        case Exists(path):
            return lambda row: (
                (found := _at(row, path)) is not _MISSING and (found is not None or len(path) > 1)
            )
        case _:
            raise TypeError(f"{type(condition).__name__} is no filter")


def _comparing(path: tuple[str, ...], comparison: Operator, value: Scalar) -> Predicate:
    kind, holds = _kind(value), _COMPARISONS[comparison]

    def compares(row: Row) -> bool:
        # What is missing is of no kind that a value has.
        found = _at(row, path)
        return _kind(found) is kind and holds(found, value)

    return compares


def _choosing(path: tuple[str, ...], values: Iterable[Scalar]) -> Predicate:
    choices: defaultdict[type[Any], set[Scalar]] = defaultdict(set)
    for value in values:
        choices[_kind(value)].add(value)

    def is_chosen(row: Row) -> bool:
        found = _at(row, path)
        kind = _kind(found)
        return kind in choices and found in choices[kind]

    return is_chosen


def _at(row: Row, path: tuple[str, ...]) -> Any:
    name, *keys = path
    found = row[name]
    for key in keys:
        if not isinstance(found, FrozenDict) or key not in found:
            return _MISSING
        found = found[key]
    return found


def _kind(value: Any) -> type[Any]:
    # A flag is no number, though Python says so; numbers of every type compare with each other.
    if isinstance(value, bool):
        return bool
    if isinstance(value, int | float | Decimal):
        return Decimal
    return str if isinstance(value, str) else type(value)
