"""Authors and dependency bumps, in memory."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from domain.errors import InvalidInput
from domain.history import AuthorCacheEntry, DependencyBumpMerge
from domain.moments import days_old, require_age
from domain.paging import DEFAULT_LIMIT, require_at_most, require_limit
from domain.ports.history import AUTHOR_MAX_AGE
from repositories.fakes.repository import FakeReadRepository, FakeRepository

if TYPE_CHECKING:
    from repositories.fakes.checks import Row

_LONG_AGO: Final = datetime.min.replace(tzinfo=UTC)


class FakeAuthorReader(FakeReadRepository[AuthorCacheEntry]):
    """Reads what is known of authors."""

    async def find_author(self, repo: str, login: str, *, max_age: timedelta = AUTHOR_MAX_AGE) -> AuthorCacheEntry | None:
        author, age = (_named(repo, "repo"), _named(login, "login")), require_age(max_age, "max_age")
        rows = await self._rows(lambda row: (row["repo"], row["author_login"]) == author)
        return self._first([row for row in rows if row["cached_at"] >= self._transaction.now - age])


class FakeAuthorRepository(FakeAuthorReader, FakeRepository[AuthorCacheEntry]):
    """Remembers authors."""

    async def upsert(self, entry: AuthorCacheEntry) -> None:
        await self.replace(entry, "repo", "author_login")

    async def purge(self, *, days: float = 7, at_most: int | None = None) -> int:
        age, at_most = days_old(days, "days"), require_at_most(at_most)
        return await self._delete(lambda row: row["cached_at"] < self._transaction.now - age, at_most=at_most)


class FakeDependencyBumpReader(FakeReadRepository[DependencyBumpMerge]):
    """Reads merged dependency bumps."""

    async def history(self, repo: str, package: str, *, limit: int = DEFAULT_LIMIT) -> Sequence[DependencyBumpMerge]:
        require_limit(limit)
        rows = await self._rows(
            lambda row: (row["repo"], row["package_name"]) == (repo, package), key=_merged_last, descending=True
        )
        return self._entities(rows[:limit])


class FakeDependencyBumpRepository(FakeDependencyBumpReader, FakeRepository[DependencyBumpMerge]):
    """Remembers merged dependency bumps."""

    async def record(self, bump: DependencyBumpMerge) -> bool:
        return await self.add_new([bump], "repo", "pr_number") > 0


def _merged_last(row: Row) -> tuple[Any, ...]:
    return row["merged_at"] or _LONG_AGO, row["id"]


def _named(name: str, field: str) -> str:
    if not name:
        raise InvalidInput(f"{field} must not be empty", field=field)
    return name
