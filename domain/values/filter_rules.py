"""What a filter may ask of an entity; the one place where PostgreSQL's side and the fakes' learn
whether a filter is good.

A value is compared as its column's own type:

- text, numbers, moments and ids with every operator, text by code point, ids as PostgreSQL orders
  uuid;
- flags and enumerations for equality alone, because the order of their words means nothing;
- a path in a JSON column with a string, a number or a flag; only numbers compare with numbers and
  strings with strings, and only they have an order. A path leads through objects, never into an
  array; JSON's null is a value that exists and equals nothing.

Embeddings, arrays, bytes, and a JSON column without a path cannot be compared; whether they exist
can be asked.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from functools import partial
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeAlias, Union, get_args, get_origin
from uuid import UUID

from annotated_types import Le
from pydantic import AwareDatetime

from domain.errors import InvalidFilter
from domain.values.filters import (
    MAX_CHOICES,
    MAX_CONDITIONS,
    MAX_PATH,
    AllOf,
    AnyOf,
    Compare,
    Exists,
    Filter,
    Not,
    OneOf,
    Operator,
    Scalar,
    conditions,
)
from domain.values.jsonb import normalise
from domain.values.numbers import INT32_MAX, INT64_MAX, field_constraints
from domain.values.text import storable

if TYPE_CHECKING:
    from domain.schema.base import Entity

Coerce: TypeAlias = Callable[[Any], Scalar]

MAX_NESTING: Final = 50
"""Levels of and, or and not inside each other."""

MAX_DIGITS: Final = 1_000
"""Digits before the point of a number that a decimal is compared with.

PostgreSQL takes more, and nobody means them.
"""


def check_filter(condition: Filter, entity: type[Entity]) -> Filter:
    """Return `condition` with every value as the Python type of what it is compared with.

    Raises:
        InvalidFilter: it names no column of the entity, compares what cannot be compared, is too
            large, or is no filter.
    """
    require_shallow(condition)
    if len(conditions(condition)) > MAX_CONDITIONS:
        raise InvalidFilter(f"a filter has at most {MAX_CONDITIONS} conditions", field="where")
    return _checked(condition, entity)


def column_name(entity: type[Entity], field: str) -> str:
    """Return the name of the column that keeps `field`.

    The same, or without the underscore that sets it apart in Python.
    """
    return field if field in entity.__table__.columns else field.rstrip("_")


def require_shallow(condition: Filter, depth: int = 0) -> None:
    """Raise InvalidFilter where parts are inside each other more than `MAX_NESTING` levels deep."""
    if depth > MAX_NESTING:
        raise InvalidFilter(f"a filter is nested at most {MAX_NESTING} levels deep", field="where")
    match condition:
        case AllOf(parts) | AnyOf(parts):
            for part in parts:
                require_shallow(part, depth + 1)
        case Not(part):
            require_shallow(part, depth + 1)
        case _:
            pass


def _checked(condition: Filter, entity: type[Entity]) -> Filter:
    match condition:
        case AllOf(parts):
            return AllOf(tuple(_checked(part, entity) for part in parts))
        case AnyOf(parts):
            return AnyOf(tuple(_checked(part, entity) for part in parts))
        case Not(part):
            return Not(_checked(part, entity))
        case Compare(path, operator, value):
            return Compare(
                path,
                operator,
                _comparable(entity, path, value, ordered=operator is not Operator.EQUAL),
            )
        case OneOf(path, values):
            _comparing(entity, path)  # with no value to compare as well
            _require_few(values, path)
            return OneOf(path, tuple(_comparable(entity, path, value) for value in values))
        case Exists(path):
            _require_column(entity, path)
            return condition
        case _:
            raise InvalidFilter("a filter is made with where()", field="where")


def _require_few(values: tuple[Scalar, ...], path: tuple[str, ...]) -> None:
    if len(values) > MAX_CHOICES:
        raise InvalidFilter(f"one_of takes at most {MAX_CHOICES:,} values", field=path[0])


def _require_column(entity: type[Entity], path: tuple[str, ...]) -> type[Any]:
    name, *keys = path or ("",)
    kind = _kind(entity, name)
    if kind is None:
        raise InvalidFilter(f"{entity.__name__} has no column {name!r}", field=name)
    if keys and not issubclass(kind, Mapping):
        raise InvalidFilter(f"{name} is not JSON and has no paths", field=name)
    if len(keys) > MAX_PATH or not all(map(_is_storable, keys)):
        raise InvalidFilter(
            f"a path has at most {MAX_PATH} keys, each of them text that PostgreSQL can store",
            field=name,
        )
    return kind


def _is_storable(key: object) -> bool:
    try:
        _text(key)
    except (TypeError, ValueError):
        return False
    return True


def _comparable(
    entity: type[Entity], path: tuple[str, ...], value: Scalar, *, ordered: bool = False
) -> Scalar:
    coerce, name = _comparing(entity, path), path[0]
    try:
        coerced = coerce(value)
    except (TypeError, ValueError, OverflowError):
        raise InvalidFilter(
            f"{name} cannot be compared with this {type(value).__name__}", field=name
        ) from None
    if ordered and isinstance(coerced, bool | StrEnum):
        raise InvalidFilter(
            f"{name} has no order: it can only be compared for equality", field=name
        )
    return coerced


def _comparing(entity: type[Entity], path: tuple[str, ...]) -> Coerce:
    kind = _require_column(entity, path)
    name, *keys = path
    coerce = _json if keys else _coercion(entity, name, kind)
    if coerce is None:
        raise InvalidFilter(f"{name} cannot be compared with a value", field=name)
    return coerce


def _kind(entity: type[Entity], name: str) -> type[Any] | None:
    field = entity.model_fields.get(name) or entity.model_fields.get(f"{name}_")
    if field is None or name not in entity.__table__.columns:
        return None
    plain = _plain(field.annotation)
    return Mapping if plain is Any else plain  # any JSON value


def _plain(annotation: Any) -> type[Any]:
    origin = get_origin(annotation)
    if origin is Annotated:
        return _plain(get_args(annotation)[0])
    if origin in (Union, UnionType):
        return _plain(next(choice for choice in get_args(annotation) if choice is not type(None)))
    plain: type[Any] = origin or annotation
    return plain


def _coercion(entity: type[Entity], name: str, kind: type[Any]) -> Coerce | None:
    if issubclass(kind, StrEnum):
        return kind
    if kind is int:
        return partial(_integer, limit=_greatest(entity, name))
    return _COERCIONS.get(kind)


def _greatest(entity: type[Entity], name: str) -> int:
    limits = (
        rule.le for rule in field_constraints(entity.model_fields[name]) if isinstance(rule, Le)
    )
    return INT64_MAX if INT64_MAX in limits else INT32_MAX


def _number(value: object) -> int | float | Decimal:
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise TypeError
    if not math.isfinite(value):
        raise ValueError
    return value


def _integer(value: object, *, limit: int) -> int:
    number = _number(value)
    if number != int(number) or not -limit - 1 <= number <= limit:
        raise ValueError
    return int(number)


def _decimal(value: object) -> Decimal:
    number = _number(value)
    exact = Decimal(repr(number)) if isinstance(number, float) else Decimal(number)
    if exact.adjusted() > MAX_DIGITS:
        raise ValueError
    return exact


def _exactly(kind: type[Any], value: object) -> Any:
    if not isinstance(value, kind):
        raise TypeError
    return value


def _text(value: object) -> str:
    return storable(str(_exactly(str, value)))


def _moment(value: object) -> datetime:
    moment: datetime = _exactly(datetime, value)
    if moment.utcoffset() is None:
        raise ValueError
    return moment.astimezone(UTC)


def _id(value: object) -> UUID:
    return UUID(value) if isinstance(value, str) else UUID(int=_exactly(UUID, value).int)


def _json(value: object) -> Scalar:
    if not isinstance(value, str | int | float):
        raise TypeError
    scalar: Scalar = normalise(value)
    return scalar


_COERCIONS: Final[Mapping[type[Any], Coerce]] = {
    bool: partial(_exactly, bool),
    AwareDatetime: _moment,
    Decimal: _decimal,
    float: lambda value: float(_number(value)),
    str: _text,
    UUID: _id,
}
