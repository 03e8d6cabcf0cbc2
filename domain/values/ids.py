"""Ids of rows, converted from the forms in which callers have them."""

from __future__ import annotations

from collections.abc import Iterable, Sized
from itertools import islice
from typing import Final
from uuid import UUID

from domain.errors import InvalidInput
from domain.values.shown import kind_of

MAX_IDS: Final = 100_000
"""The most ids that one call takes."""


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
            raise InvalidInput(
                f"{field} is not the text of a UUID: pass the id of an entity, or the text of one",
                field=field,
            ) from None
    octets = getattr(value, "bytes", None)
    if isinstance(octets, bytes) and len(octets) == 16:
        return UUID(bytes=octets)
    raise InvalidInput(
        f"{field} must be a UUID or the text of one, not {kind_of(value)}", field=field
    )


def require_ids(values: Iterable[object], field: str = "ids") -> list[UUID]:
    """Return the ids as `uuid.UUID` without duplicates, in their order.

    Raises:
        InvalidInput: the argument is not an iterable of ids, or has more than `MAX_IDS`.
    """
    return list(dict.fromkeys(require_id(value, field) for value in require_many(values, field)))


def require_many(values: Iterable[object], field: str = "ids") -> list[object]:
    """Return the values as a list, if they are at most `MAX_IDS`; no value is checked.

    Raises:
        InvalidInput: the argument is not an iterable, or has more than `MAX_IDS` values.
    """
    if isinstance(values, str) or not _can_iterate(values):
        raise InvalidInput(
            f"{field} must be an iterable of UUIDs, not {kind_of(values)}", field=field
        )
    many = list(islice(values, MAX_IDS + 1))
    if len(many) > MAX_IDS:
        raise InvalidInput(
            f"{field} has at most {MAX_IDS:,} ids, and this call has {_count(values)}:"
            " ask for them in several calls",
            field=field,
        )
    return many


def _count(values: Iterable[object]) -> str:
    return f"{len(values):,}" if isinstance(values, Sized) else "more"


def _can_iterate(value: object) -> bool:
    return isinstance(value, Iterable)
