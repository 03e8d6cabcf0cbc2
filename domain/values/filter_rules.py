"""Rules of filters: which conditions fit an entity, for PostgreSQL and for the fakes alike.

A value is compared as the type of its column:

- text, numbers, timestamps, dates and ids with every operator; text by code point, ids as
  PostgreSQL orders uuid;
- flags and enumerations for equality only, because their words have no order;
- a path in a JSON column with a string, a number or a flag. Numbers compare with numbers and
  strings with strings only, and only they have an order. A datetime compares with RFC 3339 text
  that has an offset. A path leads through objects, never into an array.

Lists in JSON and array columns can be tested for their elements, and text for a prefix, a part or a
glob. Embeddings, bytes, and a JSON column without a path can only be tested for existence.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeAlias, get_args, get_origin

from domain.errors import InvalidFilter, InvalidInput
from domain.values.annotations import options
from domain.values.filter_bounds import require_bounded
from domain.values.filter_values import (
    CONVERTERS,
    Coerce,
    no_comparison,
    to_integer,
    to_json,
    to_json_element,
    to_text,
)
from domain.values.filters import (
    MAX_PATH,
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
    not_a_filter,
)
from domain.values.globs import parse_glob
from domain.values.shown import kind_of

if TYPE_CHECKING:
    from domain.schema.base import Entity

Path: TypeAlias = tuple[str, ...]

_ELEMENTS: Final = "annotate it with the type of its elements, such as list[str]"

LONGEST_NAME: Final = 63
"""PostgreSQL's limit for the name of a column, in bytes."""


def check_filter(condition: Filter, entity: type[Entity]) -> Filter:
    """Return `condition` with column names, and with values of the types they are compared with.

    Raises:
        InvalidFilter: it names no column of the entity, compares values that cannot be compared, is
            too large, or is not a filter.
    """
    return _checked(require_bounded(condition), entity)


def column_name(entity: type[Entity], field: str) -> str:
    """Return the name of the column of `field`.

    It is the same, or the name without the underscore that Python requires.
    """
    return field if field in entity.__table__.columns else field.rstrip("_")


def _checked(condition: Filter, entity: type[Entity]) -> Filter:
    match condition:
        case AllOf(parts):
            return AllOf(tuple(_checked(part, entity) for part in parts))
        case AnyOf(parts):
            return AnyOf(tuple(_checked(part, entity) for part in parts))
        case Not(part):
            return Not(_checked(part, entity))
        case Compare(path, operator, value):
            path = _named(entity, path)
            [coerced] = _coerced(entity, path, (value,), ordered=operator is not Operator.EQUAL)
            return Compare(path, operator, coerced)
        case OneOf(path, values):
            path = _named(entity, path)
            return OneOf(path, _coerced(entity, path, values))
        case Contains(path, values, every):
            path = _named(entity, path)
            return Contains(path, _elements(entity, path, values), every)
        case TextMatch(path, operator, text):
            path = _named(entity, path)
            return TextMatch(path, operator, _searched_text(entity, path, operator, text))
        case Exists(path):
            return Exists(_named(entity, path))
        case IsNull(path):
            return IsNull(_named(entity, path))
        case _:
            raise not_a_filter(condition)


def _suggestion(entity: type[Entity], name: object) -> str:
    """Return the name that a misspelt one probably means, or all names, for a message."""
    fields = (field for field in entity.model_fields if _kind(entity, field) is not None)
    names = [column_name(entity, field) for field in fields]
    # Longer text is not a name, and comparing it takes time.
    is_name = isinstance(name, str) and len(name) <= LONGEST_NAME
    similar = get_close_matches(str(name), names, 1) if is_name else []
    return f": did you mean {similar[0]!r}?" if similar else f": its columns are {', '.join(names)}"


def _named(entity: type[Entity], path: Path) -> Path:
    """Return the path with the name of its column.

    Raises:
        InvalidFilter: the column does not exist, or has no such paths.
    """
    name, *keys = path or ("",)
    kind = _kind(entity, name)
    if kind is None:
        raise InvalidFilter(
            f"{entity.__name__} has no column {name!r}{_suggestion(entity, name)}", field=str(name)
        )
    if keys and not issubclass(kind, Mapping):
        raise InvalidFilter(
            f"{name} is not JSON and has no paths: write where({name!r})", field=name
        )
    if len(keys) > MAX_PATH or not all(map(_is_storable, keys)):
        raise InvalidFilter(
            f"a path has at most {MAX_PATH} keys, each of them text that PostgreSQL can store;"
            f" this one has {len(keys):,}",
            field=name,
        )
    return (column_name(entity, name), *keys)


def _is_storable(key: object) -> bool:
    try:
        to_text(key)
    except (TypeError, ValueError):
        return False
    return True


def _coerced(
    entity: type[Entity], path: Path, values: Sequence[Scalar], *, ordered: bool = False
) -> tuple[Scalar, ...]:
    coerce, name = _comparing(entity, path), path[0]
    coerced = tuple(_converted(coerce, name, value) for value in values)
    if ordered and any(isinstance(value, bool | StrEnum) for value in coerced):
        raise InvalidFilter(
            f"{name} has no order here: compare it with equals(), not_equals() or one_of()",
            field=name,
        )
    return coerced


def _converted(coerce: Coerce, name: str, value: object) -> Scalar:
    try:
        return coerce(value)
    except InvalidInput as error:
        raise InvalidFilter(f"{name}: {error}", field=name) from None
    except (TypeError, ValueError, OverflowError):
        raise InvalidFilter(no_comparison(name, value, coerce), field=name) from None


def _comparing(entity: type[Entity], path: Path) -> Coerce:
    name, *keys = path
    kind = _kind(entity, name)
    coerce = to_json if keys else _coercion(entity, name, kind or Mapping)
    if coerce is not None:
        return coerce
    advice = "test it with exists() or is_null()"
    if kind is tuple:
        advice = "write contains(), contains_any() or contains_all() for a list"
    elif kind is Mapping:
        advice = f"write where({name!r}, key) for a value in it"
    raise InvalidFilter(f"{name} cannot be compared with a value: {advice}", field=name)


def _elements(entity: type[Entity], path: Path, values: Sequence[Scalar]) -> tuple[Scalar, ...]:
    name, *keys = path
    if keys:
        return tuple(_converted(to_json_element, name, value) for value in values)
    kind = _kind(entity, name)
    if kind is not tuple:
        raise InvalidFilter(
            f"{name} is not a list: write equals() or one_of() for a value, contains_text() for a"
            " part of a text",
            field=name,
        )
    coerce = _coercion(entity, name, _element(_field(entity, name).annotation))
    if coerce is None:
        raise InvalidFilter(
            f"the elements of {name} cannot be compared with a value: {_ELEMENTS}", field=name
        )
    return tuple(_converted(coerce, name, value) for value in values)


def _searched_text(entity: type[Entity], path: Path, operator: TextOperator, text: object) -> str:
    name, *keys = path
    if not keys and _kind(entity, name) is not str:
        raise InvalidFilter(f"{name} is not text: {operator}() tests text only", field=name)
    try:
        searched = to_text(text)
    except TypeError:
        raise InvalidFilter(
            f"{name}: {operator}() takes text, not {kind_of(text)}", field=name
        ) from None
    except ValueError:
        raise InvalidFilter(
            f"{name}: the text of {operator}() has a NUL or a lone surrogate, which PostgreSQL"
            " cannot store: remove it",
            field=name,
        ) from None
    if operator is TextOperator.GLOB:
        parse_glob(searched, name)
    return searched


def _field(entity: type[Entity], name: object) -> Any:
    if not isinstance(name, str):
        return None
    return entity.model_fields.get(name) or entity.model_fields.get(f"{name}_")


def _kind(entity: type[Entity], name: str) -> type[Any] | None:
    """Return the type of a column: Mapping for JSON, tuple for an array, None for no column."""
    field = _field(entity, name)
    column = column_name(entity, name)
    if field is None or column not in entity.__table__.columns:
        return None
    if entity.is_array(column):
        return tuple
    plain = _plain(field.annotation)
    return Mapping if plain is Any else plain  # any JSON value


def _element(annotation: Any) -> type[Any]:
    """Return the type of the elements of an array column."""
    return _plain(next(iter(get_args(next(options(annotation)))), object))


def _plain(annotation: Any) -> type[Any]:
    option = next(options(annotation))
    plain: type[Any] = get_origin(option) or option
    return plain


def _coercion(entity: type[Entity], name: str, kind: type[Any]) -> Coerce | None:
    if issubclass(kind, StrEnum):
        return kind
    if kind is int:
        return partial(to_integer, limit=entity.largest_integer(column_name(entity, name)))
    return CONVERTERS.get(kind)
