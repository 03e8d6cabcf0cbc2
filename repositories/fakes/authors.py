"""Authors, in memory."""

from __future__ import annotations

from datetime import timedelta

from domain import ports
from domain.entities.authors import AuthorCacheEntry
from domain.ports.authors import AUTHOR_MAX_AGE
from domain.ports.implementing import implements
from domain.values.paging import require_at_most
from domain.values.text import require_text
from domain.values.timestamps import days_old, require_age
from repositories.fakes.repository import FakeReadRepository, FakeRepository


@implements(ports.AuthorReader)
class FakeAuthorReader(FakeReadRepository[AuthorCacheEntry]):
    """Reads cached authors."""

    async def find_author(
        self, repo: str, login: str, *, max_age: timedelta = AUTHOR_MAX_AGE
    ) -> AuthorCacheEntry | None:
        author, age = (
            (require_text(repo, "repo"), require_text(login, "login")),
            require_age(max_age, "max_age"),
        )
        rows = await self._rows(lambda row: (row["repo"], row["author_login"]) == author)
        return self._first([row for row in rows if row["cached_at"] >= self._transaction.now - age])


@implements(ports.AuthorRepository)
class FakeAuthorRepository(FakeAuthorReader, FakeRepository[AuthorCacheEntry]):
    """Caches authors."""

    async def upsert(self, entry: AuthorCacheEntry) -> None:
        await self.replace(entry, "repo", "author_login")

    async def purge(self, *, days: float = 7, at_most: int | None = None) -> int:
        age, at_most = days_old(days, "days"), require_at_most(at_most)
        return await self._delete(
            lambda row: row["cached_at"] < self._transaction.now - age, at_most=at_most
        )
