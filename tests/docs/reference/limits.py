"""Describe the default and the limits of a pydantic field."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from enum import Enum

from annotated_types import Ge, Gt, Le, MaxLen, MinLen
from pydantic.fields import FieldInfo

from domain.values.numbers import INT32_MAX, INT64_MAX
from tests.docs.reference.markdown import code

_WHOLE_TYPE = {-INT64_MAX - 1, INT32_MAX, INT64_MAX, timedelta(milliseconds=INT32_MAX)}
"""Limits that the column's or PostgreSQL's type has, which say nothing about the field."""


def default_of(field: FieldInfo, *, generated: str) -> str:
    """Return the default as code, "required", or `generated` where a function makes it."""
    if field.is_required():
        return "required"
    if field.default_factory is not None:
        return generated
    value = field.default
    if isinstance(value, timedelta):
        return f"{value.total_seconds():g} s"
    return code(repr(value.value if isinstance(value, Enum) else value))


def limits_of(field: FieldInfo) -> str:
    """Return the bounds that the field itself declares, such as "0 to 100"."""
    return ", ".join(_limits(field))


def _limits(field: FieldInfo) -> Iterator[str]:
    least = _first(field, Ge, "ge")
    above = _first(field, Gt, "gt")
    most = _first(field, Le, "le")
    if least is not None and most is not None:
        yield f"{least} to {most}"
    elif least is not None:
        yield f"{least} or more"
    elif most is not None:
        yield f"at most {most}"
    if above is not None:
        yield f"more than {above}"
    shortest, longest = _first(field, MinLen, "min_length"), _first(field, MaxLen, "max_length")
    if shortest == "1":
        yield "not empty"
    if longest is not None:
        yield f"at most {longest} characters"


def _first(field: FieldInfo, rule: type, attribute: str) -> str | None:
    values = (getattr(each, attribute) for each in field.metadata if isinstance(each, rule))
    return next((_readable(value) for value in values if value not in _WHOLE_TYPE), None)


def _readable(value: object) -> str:
    if isinstance(value, timedelta):
        return f"{value.total_seconds():g} s"
    return f"{value:,}" if isinstance(value, int) else str(value)
