"""The types of settings: numbers, flags, durations, names and libpq's session attributes."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from domain.values.text import without_control_characters

SECOND: Final = timedelta(seconds=1)
NO_LIMIT: Final = timedelta(0)
LONGEST: Final = timedelta(milliseconds=2**31 - 1)
"""The longest duration that a setting of PostgreSQL has."""


def _not_a_flag(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("write a number")
    return value


def _without_blanks(value: object) -> object:
    return value.strip() if isinstance(value, str) else value


def _seconds(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("write a number of seconds")
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value
    return value


Whole = Annotated[int, BeforeValidator(_not_a_flag)]
Number = Annotated[float, BeforeValidator(_not_a_flag)]
Flag = Annotated[bool, BeforeValidator(_without_blanks)]

Duration = Annotated[timedelta, BeforeValidator(_seconds), Field(gt=NO_LIMIT, le=LONGEST)]
"""A number of seconds, or a `timedelta`; more than zero."""

Limit = Annotated[timedelta, BeforeValidator(_seconds), Field(ge=NO_LIMIT, le=LONGEST)]
"""A number of seconds, or a `timedelta`; zero means no limit, as in PostgreSQL."""

Name = Annotated[str, Field(min_length=1, max_length=63, pattern=r"^[^\x00]+$")]
Label = Annotated[
    str, Field(min_length=1, max_length=200), AfterValidator(without_control_characters)
]
SessionAttributes = Literal[
    "any", "primary", "standby", "prefer-standby", "read-write", "read-only"
]
