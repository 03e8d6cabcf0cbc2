"""Bounded numbers, as annotated types."""

from __future__ import annotations

from collections.abc import Iterator
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from annotated_types import Ge, Le
from pydantic import Field
from pydantic.fields import FieldInfo

INT32_MAX = 2**31 - 1
INT64_MAX = 2**63 - 1


Count = Annotated[int, Ge(0), Le(INT32_MAX)]
"""How many; never negative."""

Positive = Annotated[int, Ge(1), Le(INT32_MAX)]
"""A number that starts at one, such as a pull request's or a line's."""

BigCount = Annotated[int, Ge(0), Le(INT64_MAX)]
"""How many, in 64 bits; its column is a bigint."""

ExternalId = Annotated[int, Ge(-INT64_MAX - 1), Le(INT64_MAX)]
"""An id that another system made: 64 bits; its column is a bigint."""

Ratio = Annotated[float, Ge(0), Le(1)]
"""A share between 0 and 1."""

Finite = Annotated[float, Field(allow_inf_nan=False)]
"""A number that is neither NaN nor infinite."""


def field_constraints(field: FieldInfo) -> Iterator[Any]:
    """Yield the constraints of a field's type, such as `annotated_types.Le`, whether or not it is optional."""
    yield from field.metadata
    if get_origin(field.annotation) in {Union, UnionType}:
        for option in get_args(field.annotation):
            yield from getattr(option, "__metadata__", ())
