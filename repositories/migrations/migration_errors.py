"""The reason why the server refused a statement of a migration, without values of rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import asyncpg

from repositories.postgres.errors import translate

if TYPE_CHECKING:
    from collections.abc import Iterator

# Messages of these classes name tables, columns and settings; those of 22 and 23 quote values.
_NAMES_ONLY: Final = frozenset({"0A", "2B", "3D", "3F", "42", "53", "54", "55", "57"})


def reason(error: BaseException) -> str:
    """Return the server's message if it cannot contain a value of a row, or else our own."""
    for link in _causes(error):
        if isinstance(link, asyncpg.PostgresError) and (link.sqlstate or "")[:2] in _NAMES_ONLY:
            return f"{link.message} ({link.sqlstate})" if hasattr(link, "message") else str(link)
    return str(translate(error))


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__
