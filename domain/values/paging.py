"""Pages by keyset: a page starts after a row, not after a number of rows."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar
from uuid import UUID

from domain.errors import InvalidCursor
from domain.values.numbers import require_whole

E_co = TypeVar("E_co", covariant=True)

DEFAULT_LIMIT = 100
MAX_LIMIT = 10_000
"""The most rows that one call returns; `stream` has no such bound."""

MAX_BATCH_SIZE = 1_000_000
"""The most rows that a batch of `stream` or of a purge has."""


def require_at_most(at_most: int | None) -> int | None:
    """Return `at_most` if it is a whole number from 1 to `MAX_BATCH_SIZE`, or None, which is all.

    Raises:
        InvalidInput: it is not.
    """
    return None if at_most is None else require_whole(at_most, "at_most", most=MAX_BATCH_SIZE)


def require_limit(limit: int) -> int:
    """Return `limit` if it is between 1 and `MAX_LIMIT`.

    Raises:
        InvalidInput: it is not.
    """
    return require_whole(limit, "limit", most=MAX_LIMIT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cursor:
    """The position after one row of a listing.

    `page` returns it, and takes it for the next page in the same direction. `str(cursor)` is safe
    in a URL, and `Cursor.parse` reads it back.
    """

    listing: str
    descending: bool
    id: UUID

    def __str__(self) -> str:
        facts = json.dumps([self.listing, self.descending, self.id.hex], separators=(",", ":"))
        return base64.urlsafe_b64encode(facts.encode()).decode().rstrip("=")

    @classmethod
    def parse(cls, text: str) -> Cursor:
        """Return the cursor of its text.

        Raises:
            InvalidCursor: the text is not that of a cursor.
        """
        if not isinstance(text, str):
            raise InvalidCursor(
                f"a cursor is read from text, not {type(text).__name__}: pass str(cursor)",
                field="cursor",
            )
        if len(text) > 1_000:
            raise _unreadable()
        try:
            match json.loads(
                base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
            ):
                case [str(listing), bool(descending), str(key)]:
                    return cls(listing=listing, descending=descending, id=UUID(hex=key))
                case _:
                    pass
        except (binascii.Error, ValueError, RecursionError):
            pass
        raise _unreadable()

    def require(self, listing: str, *, descending: bool) -> UUID:
        """Return the id after which the next page starts.

        Raises:
            InvalidCursor: the cursor belongs to another listing or direction.
        """
        if (self.listing, self.descending) != (listing, descending):
            raise InvalidCursor(
                "the cursor belongs to another listing or direction: pass the `next` of a page of"
                " this listing",
                field="cursor",
            )
        return self.id


def _unreadable() -> InvalidCursor:
    return InvalidCursor(
        "the text is not that of a cursor: pass str(page.next) of an earlier page", field="cursor"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Page(Generic[E_co]):
    """Rows of a listing, and the cursor of the next page; `next` is None on the last page."""

    items: Sequence[E_co]
    next: Cursor | None
