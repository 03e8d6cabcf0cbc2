"""SQL conditions on values in JSON columns."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from functools import cached_property
from typing import Any, Final, TypeAlias

from sqlalchemy import ColumnElement, DateTime, and_, any_, case, cast, false, func, literal, or_
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.types import Boolean, Text

from domain.values.filter_bounds import FEW_VALUES
from domain.values.filters import Scalar
from domain.values.rfc3339 import RFC3339
from domain.values.timestamps import STORED_AS_INFINITY

Keys: TypeAlias = Sequence[str]

# Types of bound values and of results, made once: SQLAlchemy would make one for each value.
BOOLEAN: Final = Boolean()
JSON_DOCUMENT: Final = JSONB()
TEXT: Final = Text()
_TEXTS: Final = ARRAY(TEXT)
_DOCUMENTS: Final = ARRAY(JSON_DOCUMENT)

# An encoder for all values: json.dumps with these options makes one for each call.
_to_json: Final = json.JSONEncoder(
    allow_nan=False, ensure_ascii=False, separators=(",", ":")
).encode


class JsonPlace:
    """A place in a JSON column: the end of a path of keys, each of which is a key of an object.

    Args:
        column: the column.
        keys: the path; at least one key.
    """

    def __init__(self, column: ColumnElement[Any], keys: Keys) -> None:
        # With "#>", the key "0" would be a place in an array.
        for key in keys[:-1]:
            column = column.op("->", return_type=JSON_DOCUMENT)(literal(key, TEXT))
        self._parent = column
        self._key = literal(keys[-1], TEXT)

    @cached_property
    def value(self) -> ColumnElement[Any]:
        """The JSON value."""
        return self._parent.op("->", return_type=JSON_DOCUMENT)(self._key)

    @cached_property
    def text(self) -> ColumnElement[str]:
        """The value as text, compared by code point."""
        return self._parent.op("->>", return_type=TEXT)(self._key).collate("C")

    @property
    def is_string(self) -> ColumnElement[bool]:
        """The condition that the value is a string."""
        return func.jsonb_typeof(self.value) == "string"

    @property
    def is_number(self) -> ColumnElement[bool]:
        """The condition that the value is a number."""
        return func.jsonb_typeof(self.value) == "number"

    @property
    def is_null(self) -> ColumnElement[bool]:
        """The condition that the value is JSON's null."""
        return func.jsonb_typeof(self.value) == "null"

    @property
    def moment(self) -> ColumnElement[Any]:
        """The moment that the value is, or NULL if it is not a date.

        Only RFC 3339 text with an offset is a date. No value raises an error.
        """
        valid = func.pg_input_is_valid(self.text, "timestamptz", type_=BOOLEAN)
        is_date = and_(self.text.op("~", return_type=BOOLEAN)(literal(RFC3339, TEXT)), valid)
        moment = cast(self.text, DateTime(timezone=True))
        # CASE evaluates its result only for rows that meet the condition.
        return case((self.is_string, case((is_date, moment))))


def as_moment(value: datetime) -> ColumnElement[Any]:
    """Return the moment as a value of SQL."""
    if value in STORED_AS_INFINITY:
        # As text, it is what it says. PostgreSQL would read other texts again for each row.
        return cast(literal(value.isoformat(), TEXT), DateTime(timezone=True))
    return literal(value)


def equals(column: ColumnElement[Any], keys: Keys, value: Scalar) -> ColumnElement[bool]:
    """Return the condition that the value at the path equals this one."""
    return contains_document(column, nested(keys, value))


def contains_document(column: ColumnElement[Any], document: Any) -> ColumnElement[bool]:
    """Return the condition that the column contains a document: the GIN index serves it."""
    return column.op("@>", return_type=BOOLEAN)(literal(document, JSON_DOCUMENT))


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
        moment = JsonPlace(column, keys).moment
        parts.append(moment == any_(cast(moments, ARRAY(DateTime(timezone=True)))))
        ends = STORED_AS_INFINITY.intersection(moments)
        parts += [moment == as_moment(one) for one in sorted(ends)]
    if len(others) > FEW_VALUES:
        parts.append(_any_of(JsonPlace(column, keys).value, "=", _documents((), others)))
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
    return _any_of(JsonPlace(column, keys).value, "@>", _documents((), values, in_list=True))


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
    return left.op(operator, return_type=BOOLEAN)(any_(array))
