"""Dates in JSON: RFC 3339 text with an offset, read alike by PostgreSQL and by the fakes."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final

RFC3339: Final = (
    r"^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])[Tt ]"
    r"([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,9})?"
    r"([Zz]|[+-](0[0-9]|1[0-5]):[0-5][0-9])$"
)
"""The form of a date, as a regular expression of PostgreSQL and of Python.

Days that a month does not have pass it; offsets beyond those that PostgreSQL knows do not.
"""

_FORM: Final = re.compile(
    r"(\d{4}-\d\d-\d\d).(\d\d:\d\d:\d\d)(\.\d+)?(?:[Zz]|([+-])(\d\d):(\d\d))", re.ASCII
)
_EPOCH: Final = datetime(1970, 1, 1)  # noqa: DTZ001 -- offsets are subtracted separately
_MICROSECOND: Final = timedelta(microseconds=1)


def microseconds(text: str) -> int | None:
    """Return the moment of a date in microseconds since 1970, or None if the text is not a date.

    Further digits are rounded as PostgreSQL rounds them.
    """
    form = _FORM.fullmatch(text)
    if form is None or not re.match(RFC3339, text):
        return None
    day, time, fraction, sign, hours, minutes = form.groups()
    try:
        local = datetime.fromisoformat(f"{day}T{time}")
    except ValueError:
        return None
    offset = timedelta(hours=int(hours or 0), minutes=int(minutes or 0))
    since = local - _EPOCH - (-offset if sign == "-" else offset)
    return since // _MICROSECOND + round(float(fraction or 0) * 1_000_000)


def microseconds_of(moment: datetime) -> int:
    """Return a moment in microseconds since 1970."""
    return (moment - _EPOCH.replace(tzinfo=UTC)) // _MICROSECOND
