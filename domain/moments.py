"""Moments and ages that a caller gives, checked before anything is asked of a server."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TypeVar

from domain.errors import InvalidInput

MAX_AGE = timedelta(days=36_500)
"""The greatest age that may be asked for: a hundred years, so that no calendar ends before it."""

MomentT = TypeVar("MomentT", bound="datetime | None")


def require_age(age: timedelta, field: str) -> timedelta:
    """Return `age` if it is between nothing and `MAX_AGE`.

    Raises:
        InvalidInput: it is not.
    """
    if not timedelta(0) <= age <= MAX_AGE:
        raise InvalidInput(f"{field} must be between 0 and {MAX_AGE.days:,} days", field=field)
    return age


def days_old(days: float, field: str = "days") -> timedelta:
    """Return the age of so many days.

    Raises:
        InvalidInput: it is negative, not a number, or more than `MAX_AGE`.
    """
    if not 0 <= days <= MAX_AGE.days:
        raise InvalidInput(f"{field} must be between 0 and {MAX_AGE.days:,} days", field=field)
    return timedelta(days=days)


def hours_old(hours: float, field: str = "hours") -> timedelta:
    """Return the age of so many hours.

    Raises:
        InvalidInput: it is negative, not a number, or more than `MAX_AGE`.
    """
    return days_old(hours / 24, field)


def require_zone(moment: MomentT, field: str) -> MomentT:
    """Return `moment` if it has a time zone, or is None.

    Raises:
        InvalidInput: it has none, so that nobody knows when it is.
    """
    if moment is not None and moment.utcoffset() is None:
        raise InvalidInput(f"{field} must have a time zone", field=field)
    return moment
