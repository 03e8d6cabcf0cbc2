"""Derives the columns of an entity's table from its fields."""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, get_origin

from annotated_types import Ge, Gt, Le
from pydantic import AfterValidator
from sqlalchemy import (
    ARRAY,
    BIGINT,
    BOOLEAN,
    DATE,
    INTEGER,
    JSON,
    NUMERIC,
    TEXT,
    TIMESTAMP,
    UUID,
    VARCHAR,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    DateTime,
    DefaultClause,
    Double,
    Float,
    Integer,
    LargeBinary,
    Numeric,
    String,
    Unicode,
    UnicodeText,
    Uuid,
    text,
)
from sqlalchemy import Text as SqlText
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql import BYTEA, JSONB
from sqlmodel.sql.sqltypes import AutoString, UTCDateTime

from domain.errors import InvalidEntity
from domain.schema.columns import EnumText, FrozenJsonb, FrozenListArray
from domain.values.annotations import options
from domain.values.jsonb import FrozenList, normalise
from domain.values.numbers import INT32_MAX, INT64_MAX, field_constraints

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pydantic.fields import FieldInfo
    from sqlalchemy.types import TypeEngine

_EQUIVALENT_TYPES: Final[Mapping[type[TypeEngine[Any]], TypeEngine[Any]]] = {
    BIGINT: BigInteger(),
    BOOLEAN: Boolean(),
    DATE: Date(),
    BYTEA: LargeBinary(),
    INTEGER: Integer(),
    UUID: Uuid(),
}
"""Types with the name of PostgreSQL's, and those that the rest of the library knows them by."""

_TEXTS = {String, TEXT, VARCHAR, Unicode, UnicodeText}

_TYPE_LIMITS = {-(2**31), INT32_MAX, -(2**63), INT64_MAX}
"""The bounds of integer types: a CHECK of them would repeat the type."""


def complete_columns(
    columns: Mapping[str, Column[Any]], fields: Mapping[str, FieldInfo]
) -> Iterator[CheckConstraint]:
    """Complete each field's column, before the table is made of the columns.

    The column gets the type that the library uses, the field's description as its comment, and the
    field's default as the server's.

    Returns:
        A CHECK constraint for each field with bounds or an enumeration, named after the column.
    """
    for name, field in fields.items():
        column = columns[name]
        column.name = column.name or name
        _set_type(column, field)
        column.comment = field.description
        column.server_default = column.server_default or _server_default(field)
        if conditions := list(_conditions(column, field)):
            yield CheckConstraint(" AND ".join(conditions), name=column.name)


def _set_type(column: Column[Any], field: FieldInfo) -> None:
    # SQLModel maps str to varchar, float to real, and an enumeration to a type of its own.
    if isinstance(column.type, AutoString):
        column.type = SqlText()
    elif enum := getattr(column.type, "enum_class", None):
        if not issubclass(enum, StrEnum):
            raise InvalidEntity(
                f"{column.name}: a column stores the texts of an enumeration, and {enum.__name__}"
                " has other values: derive it from enum.StrEnum"
            )
        column.type = EnumText(enum)
    elif (equivalent := _equivalent_type(column.name, column.type)) is not None:
        column.type = equivalent
        is_list = any(get_origin(option) is list for option in options(field.annotation))
        if isinstance(equivalent, ARRAY) and is_list:
            column.type = FrozenListArray(equivalent.item_type, dimensions=equivalent.dimensions)
        _freeze_values(column, field)
    elif any(isinstance(rule, Le) and rule.le == INT64_MAX for rule in field_constraints(field)):
        column.type = BigInteger()


def _freeze_values(column: Column[Any], field: FieldInfo) -> None:
    # SQLAlchemy would not notice a change in place. Pydantic builds the validator of the class
    # later, at its first use.
    freeze = {FrozenJsonb: normalise, FrozenListArray: _frozen}.get(type(column.type))
    if freeze is not None:
        field.metadata.append(AfterValidator(freeze))
        field.validate_default = True


def _frozen(value: Any) -> Any:
    return FrozenList(value) if isinstance(value, list) else value


def _equivalent_type(name: str, kind: TypeEngine[Any]) -> TypeEngine[Any] | None:
    """Return the type that the library uses in place of one of SQLAlchemy, or None to keep it.

    Rows then have the values that the fake returns.
    """
    if isinstance(kind, Float):
        return Double()
    if type(kind) in {JSON, JSONB}:
        return FrozenJsonb()
    if isinstance(kind, ARRAY):
        item = _equivalent_type(name, kind.item_type) or kind.item_type
        return ARRAY(item, as_tuple=True, dimensions=kind.dimensions)
    if isinstance(kind, String) and type(kind) in _TEXTS:
        if kind.length is not None:
            raise InvalidEntity(
                f"{name}: a column of text has no length: write Field(max_length={kind.length})"
                " without a type"
            )
        return SqlText()
    if type(kind) in {DateTime, TIMESTAMP, postgresql.TIMESTAMP}:
        if not getattr(kind, "timezone", False):
            raise InvalidEntity(
                f"{name}: a column stores datetimes with a time zone: remove its type, or write"
                " DateTime(timezone=True)"
            )
        return UTCDateTime()
    if isinstance(kind, NUMERIC):
        return Numeric(kind.precision, kind.scale)
    return _EQUIVALENT_TYPES.get(type(kind))


def _server_default(field: FieldInfo) -> DefaultClause | None:
    # For rows that another program writes.
    default = field.default
    if isinstance(default, bool):
        return DefaultClause(text(str(default).lower()))
    if isinstance(default, int | Decimal):
        return DefaultClause(text(str(default)))
    return DefaultClause(text(f"'{default}'")) if isinstance(default, str) else None


def _conditions(column: Column[Any], field: FieldInfo) -> Iterator[str]:
    if isinstance(column.type, EnumText):
        yield f"{column.name} IN ({', '.join(repr(member.value) for member in column.type.enum)})"
    for rule in field_constraints(field):
        match rule:
            case Ge(ge=(int() | float() | Decimal()) as limit) if limit not in _TYPE_LIMITS:
                yield f"{column.name} >= {limit}"
            case Gt(gt=(int() | float() | Decimal()) as limit):
                yield f"{column.name} > {limit}"
            case Le(le=(int() | float() | Decimal()) as limit) if limit not in _TYPE_LIMITS:
                yield f"{column.name} <= {limit}"
