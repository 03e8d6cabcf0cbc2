"""Authors, in PostgreSQL."""

from __future__ import annotations

from datetime import timedelta

from domain import ports
from domain.entities.authors import AuthorCacheEntry
from domain.ports.authors import AUTHOR_MAX_AGE
from domain.ports.implementing import implements
from domain.values.paging import require_at_most
from domain.values.text import require_text
from domain.values.timestamps import days_old, require_age
from repositories.base import ReadRepository, Repository
from repositories.conflict_writes import insert_or_replace
from repositories.sql.retention import ago, delete_older


@implements(ports.AuthorReader)
class AuthorReader(ReadRepository[AuthorCacheEntry]):
    """Reads cached authors."""

    entity = AuthorCacheEntry

    async def find_author(
        self, repo: str, login: str, *, max_age: timedelta = AUTHOR_MAX_AGE
    ) -> AuthorCacheEntry | None:
        columns = AuthorCacheEntry.__table__.c
        author = (
            columns.repo == require_text(repo, "repo"),
            columns.author_login == require_text(login, "login"),
        )
        is_fresh = columns.cached_at >= ago(require_age(max_age, "max_age"))
        return await self._one(self._select().where(*author, is_fresh))


@implements(ports.AuthorRepository)
class AuthorRepository(AuthorReader, Repository[AuthorCacheEntry]):
    """Caches authors."""

    async def upsert(self, entry: AuthorCacheEntry) -> None:
        await insert_or_replace(self._transaction, AuthorCacheEntry, entry, "repo", "author_login")

    async def purge(self, *, days: float = 7, at_most: int | None = None) -> int:
        age, at_most = days_old(days, "days"), require_at_most(at_most)
        statement = delete_older(
            AuthorCacheEntry, self._transaction.tenant, "cached_at", age, at_most=at_most
        )
        return await self._transaction.changed(statement)
