"""Authors."""

from __future__ import annotations

from datetime import timedelta
from typing import Protocol

from domain.entities.authors import AuthorCacheEntry
from domain.ports.repository import ReadRepository, Repository

AUTHOR_MAX_AGE = timedelta(hours=24)


class AuthorReader(ReadRepository[AuthorCacheEntry], Protocol):
    """Reads what is known of authors."""

    async def find_author(
        self, repo: str, login: str, *, max_age: timedelta = AUTHOR_MAX_AGE
    ) -> AuthorCacheEntry | None:
        """Return what is known of the author, or None where it is nothing or older than `max_age`
        (0 to a hundred years).

        Raises:
            InvalidInput: repository or login is empty, or `max_age` out of range; `field` is the
                parameter's name.
        """
        ...


class AuthorRepository(AuthorReader, Repository[AuthorCacheEntry], Protocol):
    """Remembers authors."""

    async def upsert(self, entry: AuthorCacheEntry) -> None:
        """Insert the entry or replace the one with the same `(repo, author_login)`; without
        `cached_at` it is cached now.

        Of a replaced entry id and `created_at` stay.
        """
        ...

    async def purge(self, *, days: float = 7, at_most: int | None = None) -> int:
        """Delete entries cached longer ago, or the first `at_most`, and return how many there were.

        Raises:
            InvalidInput: `days` is negative, not a number, or over a hundred years; `at_most` is
                not between 1 and a million.
        """
        ...
