"""Checks of timestamps and ages that callers pass."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Final, TypeVar

from pydantic import AfterValidator, AwareDatetime

from domain.errors import InvalidInput
from domain.values.numbers import is_number
from domain.values.shown import shown

MAX_AGE = timedelta(days=36_500)
"""The largest age: a hundred years, so that every such date exists."""

STORED_AS_INFINITY: Final = frozenset(
    {datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)}
)
"""Moments that the driver sends to PostgreSQL as infinity."""

MomentT = TypeVar("MomentT", bound="datetime | None")


def require_age(age: timedelta, field: str) -> timedelta:
    """Return `age` if it is between zero and `MAX_AGE`.

    Raises:
        InvalidInput: it is not.
    """
    if not is_duration(age) or not timedelta(0) <= age <= MAX_AGE:
        raise _outside(field, MAX_AGE.days, "days", age)
    return age


def days_old(days: float, field: str = "days") -> timedelta:
    """Return the age of this number of days.

    Raises:
        InvalidInput: it is negative, not a number, or more than `MAX_AGE`.
    """
    if not is_number(days) or not 0 <= days <= MAX_AGE.days:
        raise _outside(field, MAX_AGE.days, "days", days)
    return timedelta(days=days)


def hours_old(hours: float, field: str = "hours") -> timedelta:
    """Return the age of this number of hours.

    Raises:
        InvalidInput: it is negative, not a number, or more than `MAX_AGE`.
    """
    if not is_number(hours) or not 0 <= hours <= MAX_AGE.days * 24:
        raise _outside(field, MAX_AGE.days * 24, "hours", hours)
    return timedelta(hours=hours)


def _outside(field: str, most: int, unit: str, value: object) -> InvalidInput:
    return InvalidInput(
        f"{field} must be between 0 and {most:,} {unit}, not {shown(value)}", field=field
    )


def is_duration(value: object) -> bool:
    """Return whether a value is a timedelta."""
    return isinstance(value, timedelta)


def _has_zone(value: object) -> bool:
    return isinstance(value, datetime) and value.utcoffset() is not None


def require_zone(moment: MomentT, field: str) -> MomentT:
    """Return `moment` if it has a time zone, or is None.

    Raises:
        InvalidInput: it has no time zone, or is outside the years 1 to 9999 in UTC.
    """
    if moment is None:
        return moment
    if not _has_zone(moment):
        raise InvalidInput(f"{field} must be a moment with a time zone", field=field)
    try:
        moment.astimezone(UTC)
    except OverflowError:
        raise InvalidInput(f"{field} is outside the years 1 to 9999 in UTC", field=field) from None
    return moment


def _to_utc(value: datetime) -> datetime:
    try:
        moment = value.astimezone(UTC)
    except OverflowError:
        raise ValueError("is outside the years 1 to 9999 in UTC") from None
    if moment in STORED_AS_INFINITY:
        raise ValueError("is the first or the last datetime, which is stored as infinity")
    return moment


Timestamp = Annotated[AwareDatetime, AfterValidator(_to_utc)]
"""A moment in UTC. A datetime without a time zone is refused."""
