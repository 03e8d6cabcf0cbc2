"""Merged dependency bumps, in PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence

from domain import ports
from domain.entities.dependencies import DependencyBumpMerge
from domain.ports.implementing import implements
from domain.values.paging import DEFAULT_LIMIT, require_limit
from repositories.base import ReadRepository, Repository
from repositories.conflict_writes import insert_new


@implements(ports.DependencyBumpReader)
class DependencyBumpReader(ReadRepository[DependencyBumpMerge]):
    """Reads merged dependency bumps."""

    entity = DependencyBumpMerge

    async def history(
        self, repo: str, package: str, *, limit: int = DEFAULT_LIMIT
    ) -> Sequence[DependencyBumpMerge]:
        columns = DependencyBumpMerge.__table__.c
        of_package = self._select().where(columns.repo == repo, columns.package_name == package)
        newest_first = of_package.order_by(columns.merged_at.desc().nulls_last(), columns.id.desc())
        return await self._all(newest_first.limit(require_limit(limit)))


@implements(ports.DependencyBumpRepository)
class DependencyBumpRepository(DependencyBumpReader, Repository[DependencyBumpMerge]):
    """Records merged dependency bumps."""

    async def record(self, bump: DependencyBumpMerge) -> bool:
        return (
            await insert_new(self._transaction, DependencyBumpMerge, [bump], ("repo", "pr_number"))
            > 0
        )
