"""The types that fields of an application's own entities declare: those that rows have."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Final, get_args, get_origin
from uuid import UUID

from pydantic import BaseModel
from sqlalchemy import ARRAY, Float, TypeDecorator

from domain.errors import InvalidEntity
from domain.schema.columns import EnumText, FrozenJsonb
from domain.values.annotations import options

if TYPE_CHECKING:
    from sqlalchemy.types import TypeEngine

_OF_VALUES: Final = (
    *(bool, int, float, Decimal, str, bytes, UUID),
    *(date, datetime, time, timedelta, Enum, PurePath),
)
"""Classes of single values. A class of pydantic, such as `EmailStr`, is none of them."""

_NOT_OF_JSON: Final = (
    *(BaseModel, set, frozenset, tuple),
    *(Decimal, bytes, UUID, date, time, timedelta, Enum, PurePath),
)


def require_type_of_rows(name: str, column_type: TypeEngine[Any], annotation: Any) -> None:
    """Raise an error if rows would have another type than the field declares.

    Args:
        name: the field, as errors name it.
        column_type: the type of its column.
        annotation: its annotation.

    Raises:
        InvalidEntity: rows would have another type.
    """
    if isinstance(column_type, ARRAY):
        _require_array(name, column_type, annotation)
    elif isinstance(column_type, FrozenJsonb):
        _require_json(name, annotation)
    elif not isinstance(column_type, EnumText):
        _require_value(name, column_type, annotation)


def _require_array(name: str, column_type: ARRAY[Any], annotation: Any) -> None:
    for option in options(annotation):
        kind, arguments = get_origin(option), get_args(option)
        if not (kind is list or (kind is tuple and arguments[1:] == (...,))):
            raise InvalidEntity(
                f"{name} is an array, which a row has as a list or a tuple: declare list[str] or"
                " tuple[str, ...], with the type of the items"
            )
        items = list(options(arguments[0]))
        if any(get_origin(item) is not None for item in items):
            raise InvalidEntity(
                f"{name} is an array of arrays, which the fake cannot store: declare list[Any] with"
                " Field(sa_type=JSONB)"
            )
        if any(_is_class(item, Enum) for item in items):
            raise InvalidEntity(
                f"{name} is an array, which a row has with texts: declare list[str], and check the"
                " members in a pydantic validator"
            )
        _require_value(name, column_type.item_type, arguments[0])


def _require_json(name: str, annotation: Any) -> None:
    for option in options(annotation):
        if any(_is_class(get_origin(option) or option, kind) for kind in _NOT_OF_JSON):
            raise InvalidEntity(
                f"{name} is JSON, which a row has as dictionaries and lists: declare dict[str, Any]"
                " or list[Any], and assign value.model_dump(mode='json') of a model"
            )


def _require_value(name: str, column_type: TypeEngine[Any], annotation: Any) -> None:
    stored = column_type.impl_instance if isinstance(column_type, TypeDecorator) else column_type
    for option, expected in (("as_uuid", True), ("asdecimal", not isinstance(stored, Float))):
        if getattr(stored, option, expected) is not expected:
            raise InvalidEntity(
                f"{name} has a column with {option}={not expected}, which the fake cannot store:"
                f" remove {option}"
            )
    try:
        kind = stored.python_type
    except NotImplementedError:
        return
    for option in options(annotation):
        if option is not kind and any(_is_class(option, one) for one in _OF_VALUES):
            raise InvalidEntity(
                f"{name} is declared as {option.__name__}, and rows have {kind.__name__} in a"
                f" column of type {stored.__visit_name__}: declare {kind.__name__}, or choose"
                " another sa_type"
            )


def _is_class(annotation: Any, parent: type) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, parent)
