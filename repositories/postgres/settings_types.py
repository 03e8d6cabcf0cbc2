"""The types of settings: durations, limits, names and libpq's session attributes."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from domain.values.text import without_control_characters

SECOND: Final = timedelta(seconds=1)
NO_LIMIT: Final = timedelta(0)
_POSTGRES_MAX: Final = timedelta(milliseconds=2**31 - 1)


def _seconds(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("must be a number of seconds")
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value
    return value


Duration = Annotated[timedelta, BeforeValidator(_seconds), Field(gt=NO_LIMIT, le=_POSTGRES_MAX)]
"""A number of seconds, or a `timedelta`; more than zero."""

Limit = Annotated[timedelta, BeforeValidator(_seconds), Field(ge=NO_LIMIT, le=_POSTGRES_MAX)]
"""A number of seconds, or a `timedelta`; zero means no limit, as in PostgreSQL."""

Name = Annotated[str, Field(min_length=1, max_length=63, pattern=r"^[^\x00]+$")]
Label = Annotated[
    str, Field(min_length=1, max_length=200), AfterValidator(without_control_characters)
]
SessionAttributes = Literal[
    "any", "primary", "standby", "prefer-standby", "read-write", "read-only"
]
