"""Changes of any number of rows, in many short units of work, on every store."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, TypeAlias
from uuid import UUID

from domain.errors import StatementTimeout
from domain.ports.bulk_changes import BulkChangesPort
from domain.ports.implementing import implements
from domain.values.ids import require_id
from domain.values.timestamps import require_age

if TYPE_CHECKING:
    from domain.ports import Progress, UnitOfWork
    from domain.values.filters import Filter

Change: TypeAlias = "Callable[[UnitOfWork, int], Awaitable[int]]"
"""Changes at most this number of rows in a unit of work, and returns how many it changed."""

FIRST_ROWS: Final = 200
MOST_ROWS: Final = 10_000
"""The rows of the first unit of work, and of the largest."""

UNIT_SECONDS: Final = 0.5
"""The time that one unit of work should take, so that its row locks are short."""


@implements(BulkChangesPort)
class BulkChanges:
    """Changes any number of rows, in the units of work of its subclass."""

    if TYPE_CHECKING:
        run: Any

    async def mark_memories_stale(
        self, model: str, *, tenant: str | None = None, progress: Progress | None = None
    ) -> int:
        return await self._in_units(
            lambda uow, rows: uow.memories.mark_stale(model, at_most=rows), tenant, progress
        )

    async def delete_stale_memories(
        self, *, tenant: str | None = None, progress: Progress | None = None
    ) -> int:
        return await self._in_units(
            lambda uow, rows: uow.memories.delete_stale(at_most=rows), tenant, progress
        )

    async def purge_telemetry(
        self,
        *,
        older_than: timedelta,
        tenant: str | None = None,
        progress: Progress | None = None,
    ) -> int:
        age = require_age(older_than, "older_than")
        return await self._in_units(
            lambda uow, rows: uow.telemetry.purge(older_than=age, at_most=rows), tenant, progress
        )

    async def purge_runs(
        self,
        *,
        completed_days: float = 30,
        superseded_days: float = 7,
        pending_hours: float = 1,
        tenant: str | None = None,
        progress: Progress | None = None,
    ) -> int:
        async def purge(uow: UnitOfWork, rows: int) -> int:
            return await uow.runs.purge(
                completed_days=completed_days,
                superseded_days=superseded_days,
                pending_hours=pending_hours,
                at_most=rows,
            )

        return await self._in_units(purge, tenant, progress)

    async def purge_authors(
        self, *, days: float = 7, tenant: str | None = None, progress: Progress | None = None
    ) -> int:
        return await self._in_units(
            lambda uow, rows: uow.authors.purge(days=days, at_most=rows), tenant, progress
        )

    async def delete_chunks(
        self,
        where: Filter | None = None,
        *,
        tenant: str | None = None,
        progress: Progress | None = None,
    ) -> int:
        async def delete(uow: UnitOfWork, rows: int) -> int:
            if where is None:
                return await uow.knowledge.reset(at_most=rows)
            return await uow.knowledge.delete_where(where, at_most=rows)

        return await self._in_units(delete, tenant, progress)

    async def clear_reactions(
        self, repo: str, *, tenant: str | None = None, progress: Progress | None = None
    ) -> int:
        return await self._in_units(
            lambda uow, rows: uow.reactions.clear(repo, at_most=rows), tenant, progress
        )

    async def delete_review(
        self, id: UUID, *, tenant: str | None = None, progress: Progress | None = None
    ) -> bool:
        key = require_id(id)

        async def delete(uow: UnitOfWork) -> bool:
            return await uow.reviews.delete(key)

        await self._in_units(
            lambda uow, rows: uow.findings.delete_of_review(key, at_most=rows), tenant, progress
        )
        existed: bool = await self.run(delete, tenant=tenant)
        return existed

    async def _in_units(self, change: Change, tenant: str | None, progress: Progress | None) -> int:
        changed, rows = 0, FIRST_ROWS
        while True:
            began = time.monotonic()
            try:
                batch = await self._in_unit(change, rows, tenant)
            except StatementTimeout:
                if rows == 1:
                    raise
                rows = max(1, rows // 10)
                continue
            if batch == 0:
                return changed
            changed += batch
            if progress is not None:
                progress(changed)
            rows = _next_rows(rows, time.monotonic() - began)

    async def _in_unit(self, change: Change, rows: int, tenant: str | None) -> int:
        async def work(uow: UnitOfWork) -> int:
            return await change(uow, rows)

        changed: int = await self.run(work, tenant=tenant)
        return changed


def _next_rows(rows: int, seconds: float) -> int:
    """Return the number of rows that should take `UNIT_SECONDS`, near the previous one."""
    at_this_rate = rows * UNIT_SECONDS / max(seconds, 0.001)
    return max(1, min(MOST_ROWS, round(min(at_this_rate, 2 * rows))))
