"""Types of text that PostgreSQL can store."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, StringConstraints

from domain.errors import InvalidInput
from domain.values.shown import kind_of

MAX_TEXT_LENGTH = 10_000_000
"""The most characters of a text in an entity."""

# An entry of a B-tree has at most 2,704 bytes. A tenant (100), a name and a key are indexed
# together.
MAX_NAME_BYTES = 400
MAX_KEY_BYTES = 2_000


def storable(value: str) -> str:
    """Return the text of `value` if PostgreSQL can store it.

    A text of another class becomes plain text. `str()` of a member of a class that is both text and
    an Enum would return the member's name.

    Raises:
        ValueError: it contains a NUL character (SQLSTATE 22021) or half of a surrogate pair, which
            UTF-8 cannot encode.
    """
    if "\0" in value:
        raise ValueError("contains a NUL character")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise ValueError("contains half of a surrogate pair") from None
    return str.__str__(value)


def _at_most_bytes(limit: int) -> AfterValidator:
    def check(value: str) -> str:
        if len(value.encode()) > limit:
            raise ValueError(f"is longer than {limit:,} bytes in UTF-8")
        return value

    return AfterValidator(check)


Text = Annotated[str, StringConstraints(max_length=MAX_TEXT_LENGTH), AfterValidator(storable)]
"""Any text up to `MAX_TEXT_LENGTH` characters, without NUL and lone surrogates."""

Key = Annotated[
    str,
    StringConstraints(min_length=1, max_length=MAX_KEY_BYTES),
    AfterValidator(storable),
    _at_most_bytes(MAX_KEY_BYTES),
]
"""An indexed or unique text; not empty, at most 2,000 bytes."""

Name = Annotated[
    str,
    StringConstraints(min_length=1, max_length=MAX_NAME_BYTES),
    AfterValidator(storable),
    _at_most_bytes(MAX_NAME_BYTES),
]
"""A short text that is indexed together with others, such as a repository or a login.

Not empty, at most 400 bytes.
"""

# Unicode's control characters (Cc), such as the escape that begins a sequence of a terminal.
LABEL_PATTERN = r"^[^\x00-\x1f\x7f-\x9f]+$"


def without_control_characters(value: str) -> str:
    """Return `value` if it has no control character.

    Raises:
        ValueError: it has one.
    """
    if re.fullmatch(LABEL_PATTERN.strip("^$"), value) is None:
        raise ValueError("contains a control character, such as a tab or a line break")
    return value


Label = Annotated[
    str,
    StringConstraints(min_length=1, max_length=MAX_NAME_BYTES),
    AfterValidator(storable),
    AfterValidator(without_control_characters),
    _at_most_bytes(MAX_NAME_BYTES),
]
"""A `Name` without control characters, which a terminal would execute."""

NameOrEmpty = Annotated[
    str,
    StringConstraints(max_length=MAX_NAME_BYTES),
    AfterValidator(storable),
    _at_most_bytes(MAX_NAME_BYTES),
]
"""A `Name`, or empty text."""

TENANT_PATTERN = r"^[A-Za-z0-9._-]{1,100}$"

Tenant = Annotated[str, StringConstraints(pattern=TENANT_PATTERN)]
"""The name of a tenant.

It has no character that needs quoting, for statements that accept no parameters.
"""

DEFAULT_TENANT = "default"


def require_tenant(tenant: str) -> str:
    """Return the plain text of `tenant` if it is a valid name.

    Raises:
        InvalidInput: it is not 1 to 100 ASCII letters, digits, dots, underscores and hyphens.
    """
    if not _is_tenant(tenant):
        raise InvalidInput(
            "a tenant is 1 to 100 ASCII letters, digits, dots, underscores and hyphens",
            field="tenant",
        )
    return str.__str__(tenant)


def _is_tenant(tenant: object) -> bool:
    return isinstance(tenant, str) and re.fullmatch(TENANT_PATTERN.strip("^$"), tenant) is not None


def require_any_text(value: object, field: str) -> None:
    """Return if `value` is text, which can be empty.

    Raises:
        InvalidInput: it is of another type.
    """
    if not isinstance(value, str):
        raise InvalidInput(f"{field} must be text, not {kind_of(value)}", field=field)


def require_text(value: str, field: str) -> str:
    """Return `value` if it is not empty.

    Args:
        value: the text.
        field: the argument that the error names.

    Raises:
        InvalidInput: it is empty.
    """
    if not value:
        raise InvalidInput(f"{field} must not be empty", field=field)
    return value
