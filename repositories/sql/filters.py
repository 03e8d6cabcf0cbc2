"""Filters as SQL conditions. Every value is bound."""

from __future__ import annotations

from datetime import datetime
from hashlib import md5
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import ColumnElement, String, and_, any_, cast, false, func, literal, or_, true
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.types import Numeric, Text

from domain.schema.columns import INDEXED_BY_HASH
from domain.values.filter_bounds import measure
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
from domain.values.globs import glob_regex, parse_glob
from repositories.sql import json_conditions
from repositories.sql.json_conditions import BOOLEAN, JSON_DOCUMENT, TEXT, JsonPlace

if TYPE_CHECKING:
    from sqlalchemy.types import TypeEngine

    from domain.schema.base import Entity


LARGE: Final = 4_000
MANY_CHOICES: Final = 200
"""Characters, and choices, of a filter from which its statement is not cached."""


class FilterKey:
    """Filters as part of the key of a cached statement; a row has to meet all of them.

    Filters with equal values of different types (1, 1.0, True) are different statements.
    """

    __slots__ = ("_key", "filters", "is_large")

    def __init__(self, *conditions: Filter | None) -> None:
        self.filters = tuple(condition for condition in conditions if condition is not None)
        work = [measure(condition) for condition in self.filters]
        self.is_large = any(one.characters > LARGE or one.choices > MANY_CHOICES for one in work)
        # A large filter is hardly used twice: its statement is not cached, and writing it out would
        # take long.
        self._key = hex(id(self)) if self.is_large else _written(self.filters)

    def __eq__(self, other: object) -> bool:
        # Values of other classes than Python's own can differ and be written alike.
        return (
            isinstance(other, FilterKey)
            and self._key == other._key
            and self.filters == other.filters
        )

    def __hash__(self) -> int:
        return hash(self._key)

    def condition(self, entity: type[Entity]) -> ColumnElement[bool] | None:
        """Return the SQL condition, or None without a filter.

        Raises:
            InvalidFilter: a filter does not fit the entity.
        """
        if not self.filters:
            return None
        return and_(*(filter_condition(entity, condition) for condition in self.filters))

    def met_by(self, entity: type[Entity]) -> ColumnElement[bool]:
        """Return the SQL condition, which is true for every row without a filter."""
        condition = self.condition(entity)
        return true() if condition is None else condition


def _written(conditions: tuple[Filter, ...]) -> str:
    try:
        return repr(conditions)
    except (ValueError, RecursionError):
        # An integer of thousands of digits, or a value nested as deep: no column takes either.
        return hex(id(conditions))


def filter_condition(entity: type[Entity], condition: Filter | None) -> ColumnElement[bool]:
    """Return the SQL condition of a filter, which is true for every row without a filter.

    Raises:
        InvalidFilter: the filter does not fit the entity.
    """
    return true() if condition is None else _render(entity, check_filter(condition, entity))


def _render(entity: type[Entity], condition: Filter) -> ColumnElement[bool]:
    match condition:
        case AllOf(parts):
            return and_(true(), *(_render(entity, part) for part in parts))
        case AnyOf(parts):
            return or_(false(), *(_render(entity, part) for part in parts))
        case Not(part):
            # NULL is not true, so a comparison with a missing value is false and its negation true.
            return _render(entity, part).is_not(true())
        case Compare(path, operator, value):
            return _compare(entity, path, operator, value)
        case OneOf(path, values):
            column, keys = _column(entity, path)
            return json_conditions.one_of(column, keys, values) if keys else _any(column, values)
        case Contains(path, values, every):
            return _contains(entity, path, values, every=every)
        case TextMatch(path, operator, text):
            return _text_match(entity, path, operator, text)
        case Exists(path):
            column, keys = _column(entity, path)
            return (JsonPlace(column, keys).value if keys else column).is_not(None)
        case IsNull(path):
            return _is_null(*_column(entity, path))
        case _:
            raise TypeError(f"{type(condition).__name__} is not a filter")


def _column(
    entity: type[Entity], path: tuple[str, ...]
) -> tuple[ColumnElement[Any], tuple[str, ...]]:
    name, *keys = path
    return entity.__table__.c[name], tuple(keys)


def _is_null(column: ColumnElement[Any], keys: tuple[str, ...]) -> ColumnElement[bool]:
    if not keys:
        return column.is_(None)
    place = JsonPlace(column, keys)
    return or_(place.value.is_(None), place.is_null)


def _compare(
    entity: type[Entity], path: tuple[str, ...], operator: Operator, value: Scalar
) -> ColumnElement[bool]:
    column, keys = _column(entity, path)
    if not keys:
        ordered = operator is not Operator.EQUAL and isinstance(column.type, Text | String)
        left = column.collate("C") if ordered else column
        compared = _operate(left, operator, literal(value, _compared_as(column)))
        return compared if ordered else and_(_has_hash_of(column, (value,)), compared)
    if operator is Operator.EQUAL and not isinstance(value, datetime):
        return json_conditions.equals(column, keys, value)
    place = JsonPlace(column, keys)
    match value:
        case datetime():
            return _operate(place.moment, operator, json_conditions.as_moment(value))
        case str():
            compared = _operate(place.text, operator, literal(value, TEXT))
            return and_(place.is_string, compared)
        case _:
            compared = _operate(place.value, operator, literal(value, JSON_DOCUMENT))
            return and_(place.is_number, compared)


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


def _any(column: ColumnElement[Any], values: tuple[Scalar, ...]) -> ColumnElement[bool]:
    array = cast(list(values), ARRAY(_compared_as(column)))
    return and_(_has_hash_of(column, values), column == any_(array))


def _compared_as(column: ColumnElement[Any]) -> TypeEngine[Any]:
    # As values of the column's own type, numbers would be rounded to its places.
    return Numeric() if isinstance(column.type, Numeric) else column.type


def _has_hash_of(column: ColumnElement[Any], values: tuple[Scalar, ...]) -> ColumnElement[bool]:
    """Return the condition that an index on the column's hash serves; true if there is none."""
    if getattr(column, "info", None) != INDEXED_BY_HASH:
        return true()
    hashes = [md5(str(value).encode(), usedforsecurity=False).hexdigest() for value in values]
    return func.md5(column) == any_(cast(hashes, ARRAY(Text())))


def _contains(
    entity: type[Entity], path: tuple[str, ...], values: tuple[Scalar, ...], *, every: bool
) -> ColumnElement[bool]:
    column, keys = _column(entity, path)
    if keys:
        return json_conditions.contains(column, keys, values, every=every)
    array = cast(list(values), column.type)
    return column.op("@>" if every else "&&", return_type=BOOLEAN)(array)


def _text_match(
    entity: type[Entity], path: tuple[str, ...], operator: TextOperator, text: str
) -> ColumnElement[bool]:
    column, keys = _column(entity, path)
    if operator is TextOperator.GLOB:
        text = glob_regex(parse_glob(text, path[0]))
    if not keys:
        return _text_test(column.collate("C"), operator, text)
    place = JsonPlace(column, keys)
    return and_(place.is_string, _text_test(place.text, operator, text))


def _text_test(
    column: ColumnElement[Any], operator: TextOperator, text: str
) -> ColumnElement[bool]:
    match operator:
        case TextOperator.PREFIX:
            return func.starts_with(column, literal(text, TEXT), type_=BOOLEAN)
        case TextOperator.SUBSTRING:
            return func.strpos(column, literal(text, TEXT)) > 0
        case TextOperator.GLOB:
            return column.op("~", return_type=BOOLEAN)(literal(text, TEXT))
