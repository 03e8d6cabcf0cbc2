"""Bounded numbers: annotated types of fields, and checks of arguments."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import ROUND_HALF_UP, Context, Decimal, DecimalException
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from annotated_types import Ge, Le
from pydantic import BeforeValidator, Field
from pydantic.fields import FieldInfo

from domain.errors import InvalidInput
from domain.values.shown import kind_of, shown

INT32_MAX = 2**31 - 1
INT64_MAX = 2**63 - 1


Count = Annotated[int, Ge(0), Le(INT32_MAX)]
"""A count: 32 bits, not negative."""

Positive = Annotated[int, Ge(1), Le(INT32_MAX)]
"""A number from 1, such as that of a pull request or a line."""

BigCount = Annotated[int, Ge(0), Le(INT64_MAX)]
"""A count of 64 bits, not negative; its column is a bigint."""

ExternalId = Annotated[int, Ge(-INT64_MAX - 1), Le(INT64_MAX)]
"""An id of another system: 64 bits; its column is a bigint."""

Ratio = Annotated[float, Ge(0), Le(1)]
"""A share from 0 to 1."""

Finite = Annotated[float, Field(allow_inf_nan=False)]
"""A number that is neither NaN nor infinite."""


COST_PLACES = 8
"""Decimal places of a cost in US dollars."""

MAX_COST_DIGITS = 18
"""Digits of a cost, decimal places included."""


def is_whole(value: object) -> bool:
    """Return whether a value is a whole number, and not True or False."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_number(value: object) -> bool:
    """Return whether a value is an integer or a float, and not True or False."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def require_whole(number: int, field: str, *, most: int) -> int:
    """Return `number` if it is a whole number from 1 to `most`.

    Raises:
        InvalidInput: it is not.
    """
    if not is_whole(number) or not 1 <= number <= most:
        raise InvalidInput(
            f"{field} must be a whole number between 1 and {most:,}, not {shown(number)}",
            field=field,
        )
    return number


def require_numbers(**values: object) -> None:
    """Return if all values are numbers.

    Raises:
        InvalidInput: a value is not; the error names it.
    """
    for name, value in values.items():
        if not is_number(value):
            raise InvalidInput(f"{name} must be a number, not {kind_of(value)}", field=name)


def round_cost(cost: Decimal) -> Decimal:
    """Return a finite cost rounded to 8 decimal places, halves away from zero.

    This is the rule by which PostgreSQL rounds `numeric`. Providers and their SDKs report costs as
    binary floating point (`0.10234750000000001`) or with ten decimal places.
    """
    step = Decimal(1).scaleb(-COST_PLACES)
    rounded = cost.quantize(step, rounding=ROUND_HALF_UP, context=Context(prec=60))
    # The negative zero of a rounded -1e-12 becomes zero.
    return rounded.copy_abs() if rounded.is_zero() else rounded


def _rounded(value: object) -> object:
    # The field's own validation reports what is not a number, not finite or too large.
    if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
        return value
    try:
        cost = Decimal(str(value))
    except (DecimalException, ValueError):
        return value
    return round_cost(cost) if cost.is_finite() and cost.adjusted() < MAX_COST_DIGITS else value


Cost = Annotated[Decimal, BeforeValidator(_rounded)]
"""An amount of money in US dollars, rounded to 8 places by `round_cost`."""


def field_constraints(field: FieldInfo) -> Iterator[Any]:
    """Yield the constraints of a field's type, such as `annotated_types.Le`, optional or not."""
    yield from field.metadata
    if get_origin(field.annotation) in {Union, UnionType}:
        for option in get_args(field.annotation):
            yield from getattr(option, "__metadata__", ())
