"""Validation errors without the input that they reject.

A rejected value may be a secret, and errors end up in logs and in responses.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

T = TypeVar("T")


def without_input(title: str, validate: Callable[[], T], *, fields: Collection[str] = ()) -> T:
    """Return the result of `validate`, and remove the input from the `ValidationError` it raises.

    `hide_input_in_errors` only removes the input from the message: `errors()` and `json()` still
    contain it. A value that is nested too deeply for Python raises `ValidationError` as well.

    Args:
        title: name of the model, which begins the error's message.
        validate: validates the input, and returns the model.
        fields: names of the model's fields. If an unknown name lacks only the underscore at the end
            of a field's name, the error names that field.
    """
    details: list[InitErrorDetails]
    try:
        return validate()
    except ValidationError as error:
        details = [
            _redacted(detail, fields)
            for detail in error.errors(include_url=False, include_input=False)
        ]
    except RecursionError:
        details = [
            InitErrorDetails(
                type=PydanticCustomError("too_deep", "a value is nested too deeply"), input=None
            )
        ]
    # Raised outside the handlers, so that `__context__` does not refer to the original.
    raise ValidationError.from_exception_data(title, details, hide_input=True)


def _redacted(detail: ErrorDetails, fields: Collection[str]) -> InitErrorDetails:
    # The exception behind a custom error may contain the input; its text is in the message.
    context = {name: value for name, value in detail.get("ctx", {}).items() if name != "error"}
    error_type: Any = detail["type"]
    message: Any = detail["msg"]  # the constructor's type demands literals
    if error_type == "extra_forbidden" and (field := f"{detail['loc'][-1]}_") in fields:
        message = f"{message}: the field is named {field}"
    return InitErrorDetails(
        type=PydanticCustomError(error_type, message, context or None),
        loc=detail["loc"],
        input=None,
    )
