"""Values outside a bound, as error messages show them."""

from __future__ import annotations

from datetime import timedelta

_LONGEST = 10**18


def kind_of(value: object) -> str:
    """Return what a value is: its type, or the name of a class that was passed itself."""
    return f"the class {value.__name__}" if isinstance(value, type) else type(value).__name__


def shown(value: object) -> str:
    """Return a number or a duration as text, or the type of another value.

    Text is not repeated: it can be long, and it can be a secret.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | timedelta):
        return kind_of(value)
    if isinstance(value, int):
        # Python refuses to write an integer of thousands of digits.
        return f"{value:,}" if abs(value) < _LONGEST else "a number of 19 digits or more"
    return str(value)
