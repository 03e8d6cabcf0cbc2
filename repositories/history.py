"""Authors and dependency bumps, in PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from domain.errors import InvalidInput
from domain.history import AuthorCacheEntry, DependencyBumpMerge
from domain.moments import days_old, require_age
from domain.paging import DEFAULT_LIMIT, require_at_most, require_limit
from domain.ports.history import AUTHOR_MAX_AGE
from repositories.base import ReadRepository, Repository
from repositories.statements.retention import ago, delete_older
from repositories.writes import insert_new, insert_or_replace


class AuthorReader(ReadRepository[AuthorCacheEntry]):
    """Reads what is known of authors."""

    entity = AuthorCacheEntry

    async def find_author(self, repo: str, login: str, *, max_age: timedelta = AUTHOR_MAX_AGE) -> AuthorCacheEntry | None:
        columns = AuthorCacheEntry.__table__.c
        author = (columns.repo == _named(repo, "repo"), columns.author_login == _named(login, "login"))
        is_fresh = columns.cached_at >= ago(require_age(max_age, "max_age"))
        return await self._one(self._select().where(*author, is_fresh))


class AuthorRepository(AuthorReader, Repository[AuthorCacheEntry]):
    """Remembers authors."""

    async def upsert(self, entry: AuthorCacheEntry) -> None:
        await insert_or_replace(self._transaction, entry, "repo", "author_login")

    async def purge(self, *, days: float = 7, at_most: int | None = None) -> int:
        age, at_most = days_old(days, "days"), require_at_most(at_most)
        statement = delete_older(AuthorCacheEntry, self._transaction.tenant, "cached_at", age, at_most=at_most)
        return await self._transaction.changed(statement)


class DependencyBumpReader(ReadRepository[DependencyBumpMerge]):
    """Reads merged dependency bumps."""

    entity = DependencyBumpMerge

    async def history(self, repo: str, package: str, *, limit: int = DEFAULT_LIMIT) -> Sequence[DependencyBumpMerge]:
        columns = DependencyBumpMerge.__table__.c
        of_package = self._select().where(columns.repo == repo, columns.package_name == package)
        newest_first = of_package.order_by(columns.merged_at.desc().nulls_last(), columns.id.desc())
        return await self._all(newest_first.limit(require_limit(limit)))


class DependencyBumpRepository(DependencyBumpReader, Repository[DependencyBumpMerge]):
    """Remembers merged dependency bumps."""

    async def record(self, bump: DependencyBumpMerge) -> bool:
        return await insert_new(self._transaction, DependencyBumpMerge, [bump], ("repo", "pr_number")) > 0


def _named(name: str, field: str) -> str:
    if not name:
        raise InvalidInput(f"{field} must not be empty", field=field)
    return name
