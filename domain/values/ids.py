"""Ids of rows, converted from the forms in which callers have them."""

from __future__ import annotations

from uuid import UUID

from domain.errors import InvalidInput


def require_id(value: object, field: str = "id") -> UUID:
    """Return the id as a `uuid.UUID`.

    Args:
        value: a `uuid.UUID`, an object of another UUID class (such as those of asyncpg and
            uuid-utils), or the text of a UUID.
        field: name of the argument, for the error.

    Raises:
        InvalidInput: the value is anything else.
    """
    if type(value) is UUID:
        return value
    if isinstance(value, str):
        try:
            return UUID(value)
        except ValueError:
            raise InvalidInput(f"{field} is not the text of a UUID", field=field) from None
    octets = getattr(value, "bytes", None)
    if isinstance(octets, bytes) and len(octets) == 16:
        return UUID(bytes=octets)
    raise InvalidInput(
        f"{field} must be a UUID or the text of one, not {type(value).__name__}", field=field
    )
