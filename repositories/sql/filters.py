"""Filters as SQL conditions, with every value bound."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import ColumnElement, String, and_, cast, false, func, literal, or_, true
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.types import Text

from domain.values.filter_rules import check_filter, require_shallow
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

if TYPE_CHECKING:
    from collections.abc import Sequence

    from domain.schema.base import Entity


LARGE: Final = 4_000
"""Characters of a filter that is written down, from which on its statement is built each time."""


class FilterKey:
    """Filters as part of the key of a cached statement; a row has to meet all of them.

    Filters with equal values of different types (1, 1.0, True) are different statements.
    """

    __slots__ = ("_key", "filters", "is_large")

    def __init__(self, *conditions: Filter | None) -> None:
        self.filters = tuple(condition for condition in conditions if condition is not None)
        for condition in self.filters:
            require_shallow(condition)  # before repr, which goes as deep
        try:
            self._key = repr(self.filters)
        except (ValueError, RecursionError):
            # An integer of thousands of digits, or a value that is nested as deep, which no column
            # takes: the filter is refused later, and not cached.
            self._key = hex(id(conditions))
        self.is_large = len(self._key) > LARGE

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FilterKey) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    def condition(self, entity: type[Entity]) -> ColumnElement[bool] | None:
        """Return the SQL condition, or None where there is no filter.

        Raises:
            InvalidFilter: it names no column of the entity, or compares what cannot be compared.
        """
        if not self.filters:
            return None
        return and_(*(filter_condition(entity, condition) for condition in self.filters))

    def met_by(self, entity: type[Entity]) -> ColumnElement[bool]:
        """Return the SQL condition, which is true for every row without a filter."""
        condition = self.condition(entity)
        return true() if condition is None else condition


def filter_condition(entity: type[Entity], condition: Filter | None) -> ColumnElement[bool]:
    """Return the SQL condition that holds where the filter is met; without a filter, everywhere.

    Raises:
        InvalidFilter: it names no column of the entity, or compares what cannot be compared.
    """
    return true() if condition is None else _render(entity, check_filter(condition, entity))


def _render(entity: type[Entity], condition: Filter) -> ColumnElement[bool]:
    match condition:
        case AllOf(parts):
            return and_(true(), *(_render(entity, part) for part in parts))
        case AnyOf(parts):
            return or_(false(), *(_render(entity, part) for part in parts))
        case Not(part):
            # NULL is not true, so that a comparison with a missing value is false and its negation
            # true.
            return _render(entity, part).is_not(true())
        case Compare(path, operator, value):
            return _compare(entity, path, operator, value)
        case OneOf(path, values):
            return _one_of(entity, path, values)
        case Exists(path):
            column, keys = _column(entity, path)
            return _at(column, keys).is_not(None)
        case _:
            raise TypeError(f"{type(condition).__name__} is no filter")


def _column(
    entity: type[Entity], path: tuple[str, ...]
) -> tuple[ColumnElement[Any], tuple[str, ...]]:
    name, *keys = path
    return entity.__table__.c[name], tuple(keys)


def _at(column: ColumnElement[Any], keys: Sequence[str]) -> ColumnElement[Any]:
    # With "#>", the key "0" would be a place in an array, and a path leads through objects alone.
    for key in keys:
        column = column.op("->", return_type=JSONB())(literal(key, Text))
    return column


def _json(value: Scalar) -> ColumnElement[Any]:
    return literal(value, JSONB)


def _containing(
    column: ColumnElement[Any], keys: tuple[str, ...], value: Scalar
) -> ColumnElement[bool]:
    # Containment is what the GIN index (jsonb_path_ops) serves.
    document: Any = value
    for key in reversed(keys):
        document = {key: document}
    return column.op("@>", return_type=true().type)(literal(document, JSONB))


def _compare(
    entity: type[Entity], path: tuple[str, ...], operator: Operator, value: Scalar
) -> ColumnElement[bool]:
    column, keys = _column(entity, path)
    if keys and operator is Operator.EQUAL:
        return _containing(column, keys, value)
    if not keys:
        ordered = operator is not Operator.EQUAL and isinstance(column.type, Text | String)
        left = column.collate("C") if ordered else column
        return _operate(left, operator, literal(value, column.type))
    there = _at(column, keys)
    if isinstance(value, str):
        words = (
            _at(column, keys[:-1])
            .op("->>", return_type=Text())(literal(keys[-1], Text))
            .collate("C")
        )
        return and_(
            func.jsonb_typeof(there) == "string", _operate(words, operator, literal(value, Text))
        )
    return and_(func.jsonb_typeof(there) == "number", _operate(there, operator, _json(value)))


def _operate(
    left: ColumnElement[Any], operator: Operator, right: ColumnElement[Any]
) -> ColumnElement[bool]:
    match operator:
        case Operator.EQUAL:
            return left == right
        case Operator.LESS:
            return left < right
        case Operator.LESS_OR_EQUAL:
            return left <= right
        case Operator.GREATER:
            return left > right
        case Operator.GREATER_OR_EQUAL:
            return left >= right


def _one_of(
    entity: type[Entity], path: tuple[str, ...], values: tuple[Scalar, ...]
) -> ColumnElement[bool]:
    column, keys = _column(entity, path)
    if keys:
        return or_(false(), *(_containing(column, keys, value) for value in values))
    return column == func.any(cast(list(values), ARRAY(column.type)))
