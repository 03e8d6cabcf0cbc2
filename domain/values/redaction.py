"""Refusing values without repeating them.

What a field was given may be a secret, and errors end up in logs and in answers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

T = TypeVar("T")


def without_input(title: str, validate: Callable[[], T]) -> T:
    """Return what `validate` returns; a `ValidationError` keeps its places and reasons, and not
    what was given.

    `hide_input_in_errors` leaves it out of the message alone: `errors()` and `json()` still hold
    it. What is nested too deeply for Python to look at is a `ValidationError` as well.
    """
    details: list[InitErrorDetails]
    try:
        return validate()
    except ValidationError as error:
        details = [_bare(detail) for detail in error.errors(include_url=False, include_input=False)]
    except RecursionError:
        details = [
            InitErrorDetails(
                type=PydanticCustomError("too_deep", "a value is nested too deeply"), input=None
            )
        ]
    # Outside of the handlers, so that the error does not carry the one that holds the input.
    raise ValidationError.from_exception_data(title, details, hide_input=True)


def _bare(detail: ErrorDetails) -> InitErrorDetails:
    # The exception behind a reason of our own may hold anything; its words are in the message.
    context = {name: value for name, value in detail.get("ctx", {}).items() if name != "error"}
    kind: Any = detail["type"]
    words: Any = detail["msg"]  # typed as literals, which nothing that was computed is
    return InitErrorDetails(
        type=PydanticCustomError(kind, words, context or None), loc=detail["loc"], input=None
    )
