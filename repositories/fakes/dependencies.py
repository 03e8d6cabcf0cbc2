"""Merged dependency bumps, in memory."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from domain import ports
from domain.entities.dependencies import DependencyBumpMerge
from domain.ports.implementing import implements
from domain.values.paging import DEFAULT_LIMIT, require_limit
from repositories.fakes.repository import FakeReadRepository, FakeRepository

if TYPE_CHECKING:
    from repositories.fakes.checks import Row

_LONG_AGO: Final = datetime.min.replace(tzinfo=UTC)


@implements(ports.DependencyBumpReader)
class FakeDependencyBumpReader(FakeReadRepository[DependencyBumpMerge]):
    """Reads merged dependency bumps."""

    async def history(
        self, repo: str, package: str, *, limit: int = DEFAULT_LIMIT
    ) -> Sequence[DependencyBumpMerge]:
        require_limit(limit)
        rows = await self._rows(
            lambda row: (row["repo"], row["package_name"]) == (repo, package),
            key=_merged_last,
            descending=True,
        )
        return await self._entities(rows[:limit])


@implements(ports.DependencyBumpRepository)
class FakeDependencyBumpRepository(FakeDependencyBumpReader, FakeRepository[DependencyBumpMerge]):
    """Records merged dependency bumps."""

    async def record(self, bump: DependencyBumpMerge) -> bool:
        return await self.add_new([bump], "repo", "pr_number") > 0


def _merged_last(row: Row) -> tuple[Any, ...]:
    return row["merged_at"] or _LONG_AGO, row["id"]
