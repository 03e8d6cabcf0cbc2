"""Authors."""

from __future__ import annotations

from datetime import timedelta
from typing import Protocol

from domain.entities.authors import AuthorCacheEntry
from domain.ports.repository import ReadRepository, Repository

AUTHOR_MAX_AGE = timedelta(hours=24)


class AuthorReader(ReadRepository[AuthorCacheEntry], Protocol):
    """Reads cached authors."""

    async def find_author(
        self, repo: str, login: str, *, max_age: timedelta = AUTHOR_MAX_AGE
    ) -> AuthorCacheEntry | None:
        """Return the cached author, or None if there is none or it is older than `max_age`.

        Args:
            repo: repository, as owner/name.
            login: the author's login.
            max_age: largest age of the entry, 0 to a hundred years.

        Raises:
            InvalidInput: `repo` or `login` is empty, or `max_age` is out of range.
        """
        ...


class AuthorRepository(AuthorReader, Repository[AuthorCacheEntry], Protocol):
    """Caches authors."""

    async def upsert(self, entry: AuthorCacheEntry) -> None:
        """Insert the entry, or replace the one with the same `(repo, author_login)`.

        Without `cached_at`, the entry is cached now. A replaced entry keeps its id and
        `created_at`.

        Args:
            entry: the facts about the author.

        Raises:
            TenantMismatch: the entry belongs to another tenant.
        """
        ...

    async def purge(self, *, days: float = 7, at_most: int | None = None) -> int:
        """Delete the entries older than `days` and return how many.

        Args:
            days: age, since `cached_at`.
            at_most: largest number of entries to delete; None for all.

        Raises:
            InvalidInput: `days` is negative, not a number, or over a hundred years; `at_most` is
                not between 1 and a million.
        """
        ...
