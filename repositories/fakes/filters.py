"""Filters, evaluated on a row in memory."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from domain.filter_rules import check_filter
from domain.filters import AllOf, AnyOf, Compare, Exists, Filter, Not, OneOf, Operator, Scalar
from domain.jsonb import FrozenDict

if TYPE_CHECKING:
    from domain.entity import Entity
    from repositories.fakes.checks import Row

_MISSING: Final = object()
_COMPARISONS: Final[Mapping[Operator, Callable[[Any, Any], bool]]] = {
    Operator.EQUAL: operator.eq,
    Operator.LESS: operator.lt,
    Operator.LESS_OR_EQUAL: operator.le,
    Operator.GREATER: operator.gt,
    Operator.GREATER_OR_EQUAL: operator.ge,
}


def meeting(entity: type[Entity], condition: Filter | None) -> Callable[[Row], bool]:
    """Return whether a row meets the filter; without a filter, every row does.

    Raises:
        InvalidFilter: it names no column of the entity, or compares what cannot be compared.
    """
    if condition is None:
        return lambda _: True
    checked = check_filter(condition, entity)
    return lambda row: matches(checked, row)


def matches(condition: Filter, row: Row) -> bool:
    """Return whether the row meets a filter that was checked. What is missing compares with nothing."""
    match condition:
        case AllOf(parts):
            return all(matches(part, row) for part in parts)
        case AnyOf(parts):
            return any(matches(part, row) for part in parts)
        case Not(part):
            return not matches(part, row)
        case Compare(path, comparison, value):
            return _compares(_at(row, path), comparison, value)
        case OneOf(path, values):
            return any(_compares(_at(row, path), Operator.EQUAL, value) for value in values)
        case Exists(path):
            found = _at(row, path)
            return found is not _MISSING and (found is not None or len(path) > 1)
        case _:
            raise TypeError(f"{type(condition).__name__} is no filter")


def _at(row: Row, path: tuple[str, ...]) -> Any:
    name, *keys = path
    found = row[name]
    for key in keys:
        if not isinstance(found, FrozenDict) or key not in found:
            return _MISSING
        found = found[key]
    return found


def _compares(found: Any, comparison: Operator, value: Scalar) -> bool:
    if found is None or found is _MISSING or _kind(found) is not _kind(value):
        return False
    return _COMPARISONS[comparison](found, value)


def _kind(value: Any) -> type[Any]:
    # A flag is no number, though Python says so; numbers of every type compare with each other.
    if isinstance(value, bool):
        return bool
    if isinstance(value, int | float | Decimal):
        return Decimal
    return str if isinstance(value, str) else type(value)
