"""SQL conditions on values in JSON columns."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, TypeAlias

from sqlalchemy import ColumnElement, DateTime, and_, any_, case, cast, false, func, literal, or_
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.types import Boolean, Text

from domain.values.filter_bounds import FEW_VALUES
from domain.values.filters import Scalar
from domain.values.rfc3339 import RFC3339
from domain.values.timestamps import STORED_AS_INFINITY

Keys: TypeAlias = Sequence[str]

_TEXTS: Final = ARRAY(Text())
_DOCUMENTS: Final = ARRAY(JSONB())

# An encoder for all values: json.dumps with these options makes one for each call.
_to_json: Final = json.JSONEncoder(
    allow_nan=False, ensure_ascii=False, separators=(",", ":")
).encode


def value_at(column: ColumnElement[Any], keys: Keys) -> ColumnElement[Any]:
    """Return the JSON value at the end of a path."""
    # With "#>", the key "0" would be a place in an array. A path leads through objects only.
    for key in keys:
        column = column.op("->", return_type=JSONB())(literal(key, Text))
    return column


def text_at(column: ColumnElement[Any], keys: Keys) -> ColumnElement[str]:
    """Return the text at the end of a path, compared by code point."""
    parent = value_at(column, keys[:-1])
    return parent.op("->>", return_type=Text())(literal(keys[-1], Text)).collate("C")


def is_string(column: ColumnElement[Any], keys: Keys) -> ColumnElement[bool]:
    """Return the condition that the value is a string."""
    return func.jsonb_typeof(value_at(column, keys)) == "string"


def is_number(column: ColumnElement[Any], keys: Keys) -> ColumnElement[bool]:
    """Return the condition that the value is a number."""
    return func.jsonb_typeof(value_at(column, keys)) == "number"


def moment_at(column: ColumnElement[Any], keys: Keys) -> ColumnElement[Any]:
    """Return the moment at the end of a path, or NULL if the value is not a date.

    Only RFC 3339 text with an offset is a date. No value raises an error.
    """
    text = text_at(column, keys)
    valid = func.pg_input_is_valid(text, "timestamptz", type_=Boolean())
    is_date = and_(text.op("~", return_type=Boolean())(literal(RFC3339, Text)), valid)
    moment = cast(text, DateTime(timezone=True))
    # CASE evaluates its result only for rows that meet the condition.
    return case((is_string(column, keys), case((is_date, moment))))


def as_moment(value: datetime) -> ColumnElement[Any]:
    """Return the moment as a value of SQL."""
    if value in STORED_AS_INFINITY:
        # As text, it is what it says. PostgreSQL would read other texts again for each row.
        return cast(literal(value.isoformat(), Text), DateTime(timezone=True))
    return literal(value)


def equals(column: ColumnElement[Any], keys: Keys, value: Scalar) -> ColumnElement[bool]:
    """Return the condition that the value at the path equals this one."""
    return contains_document(column, nested(keys, value))


def contains_document(column: ColumnElement[Any], document: Any) -> ColumnElement[bool]:
    """Return the condition that the column contains a document: the GIN index serves it."""
    return column.op("@>", return_type=Boolean())(literal(document, JSONB))


def nested(keys: Keys, value: Any) -> Any:
    """Return the document that has `value` at the end of a path."""
    for key in reversed(keys):
        value = {key: value}
    return value


def one_of(column: ColumnElement[Any], keys: Keys, values: Sequence[Scalar]) -> ColumnElement[bool]:
    """Return the condition that the value at the path is one of these."""
    moments = [value for value in values if isinstance(value, datetime)]
    others = [value for value in values if not isinstance(value, datetime)]
    parts: list[ColumnElement[bool]] = [false()]
    if moments:
        array = cast(moments, ARRAY(DateTime(timezone=True)))
        parts.append(moment_at(column, keys) == any_(array))
        ends = STORED_AS_INFINITY.intersection(moments)
        parts += [moment_at(column, keys) == as_moment(one) for one in sorted(ends)]
    if len(others) > FEW_VALUES:
        parts.append(_any_of(value_at(column, keys), "=", _documents((), others)))
    elif others:
        parts.append(_any_of(column, "@>", _documents(keys, others)))
    return or_(*parts)


def contains(
    column: ColumnElement[Any], keys: Keys, values: Sequence[Scalar], *, every: bool
) -> ColumnElement[bool]:
    """Return the condition that the list at the path contains the values, or any of them."""
    if every:
        return contains_document(column, nested(keys, list(values)))
    if not values:
        return false()
    if len(values) <= FEW_VALUES:
        return _any_of(column, "@>", _documents(keys, values, in_list=True))
    return _any_of(value_at(column, keys), "@>", _documents((), values, in_list=True))


def _documents(keys: Keys, values: Sequence[Scalar], *, in_list: bool = False) -> list[str]:
    """Return the text of each document that has one of the values at the end of a path.

    With `in_list`, the path ends at a list of this one value.
    """
    before, after = "".join(f"{{{_to_json(key)}:" for key in keys), "}" * len(keys)
    if in_list:
        before, after = f"{before}[", f"]{after}"
    return [f"{before}{_to_json(value)}{after}" for value in values]


def _any_of(
    left: ColumnElement[Any], operator: str, documents: Sequence[str]
) -> ColumnElement[bool]:
    # One bound array of texts, in place of a clause for each value.
    array = cast(literal(documents, _TEXTS), _DOCUMENTS)
    return left.op(operator, return_type=Boolean())(any_(array))
