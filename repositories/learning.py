"""Learning memories and global patterns, in PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final
from uuid import UUID

from domain import ports
from domain.entities.learning import (
    COUNT_TOO_LARGE,
    ConfidenceBand,
    GlobalPattern,
    LearningMemory,
    Outcome,
)
from domain.errors import InvalidInput
from domain.ports.implementing import implements
from domain.schema.writing import require_entity
from domain.values.classification import Category, Severity
from domain.values.embedding import VectorLike
from domain.values.paging import require_at_most, require_limit
from domain.values.scores import Thresholds
from domain.values.search import SearchHits
from domain.values.shown import shown
from domain.values.text import require_text
from repositories.base import AppendRepository, ReadRepository, Repository
from repositories.common_search.memories import MemorySearches
from repositories.conflict_writes import insert_new
from repositories.reembedding import RepairReader, RepairRepository
from repositories.sql import learning, rows
from repositories.sql.filters import FilterKey
from repositories.sql.vector_index import Graph

if TYPE_CHECKING:
    from domain.ports import Progress, Rows
    from domain.values.filters import Filter

OWNER_CANDIDATES: Final = 500
"""Rows of a large tenant's index from which the memories of an owner are chosen."""

_COLUMNS = LearningMemory.__table__.c


@implements(ports.MemoryReader)
class MemoryReader(RepairReader[LearningMemory], MemorySearches[FilterKey]):
    """Searches learning memories."""

    entity = LearningMemory
    repaired_text = _COLUMNS.finding_text

    async def exists_for(self, repo: str, finding_id: UUID, outcome: Outcome) -> bool:
        same = (
            _COLUMNS.repo == repo,
            _COLUMNS.finding_id == finding_id,
            _COLUMNS.outcome == outcome,
        )
        return bool(await self._scalar(rows.any_rows(self.entity, self._transaction.tenant, *same)))

    async def _shared(
        self,
        embedding: VectorLike,
        owner: str,
        repo: str,
        where: Filter | None,
        *,
        limit: int,
        thresholds: Thresholds,
        distinct: bool,
        excluded_texts: Sequence[bytes] = (),
    ) -> SearchHits[LearningMemory]:
        values = {
            "embedding": self._query_vector(embedding),
            "owner": owner,
            "exclude_repo": repo,
            "max_distance": thresholds.farthest(),
            "excluded_texts": list(excluded_texts),
        }
        candidates = max(OWNER_CANDIDATES, require_limit(limit))
        scan = await self._scan(candidates, distinct=False)
        # Another index than the tenant's own could return the rows of one repository only.
        of_index = scan if scan.graph is Graph.OWN else None
        statement = learning.nearest_for_owner(
            limit, FilterKey(where), distinct=distinct, scan=of_index
        )
        rows = await self._hit_rows(statement, values, of_index)
        return await self._hits(rows, limit, scan=of_index)

    async def _owner_repos(self, owner: str, repo: str) -> Sequence[str]:
        tenant = self._transaction.tenant
        values = {"tenant": tenant, "owner": owner, "exclude_repo": repo}
        return [row["repo"] for row in await self._transaction.rows(learning.owner_repos(), values)]


@implements(ports.MemoryRepository)
class MemoryRepository(MemoryReader, RepairRepository[LearningMemory], Repository[LearningMemory]):
    """Writes learning memories."""

    async def write(self, memory: LearningMemory) -> bool:
        return await self.write_many([memory]) == 1

    async def write_many(
        self, memories: Rows[LearningMemory], *, progress: Progress | None = None
    ) -> int:
        key = ("repo", "finding_id", "outcome")
        return await insert_new(self._transaction, LearningMemory, memories, key, progress=progress)

    async def mark_stale(self, model: str, *, at_most: int | None = None) -> int:
        statement = learning.mark_stale(
            self._transaction.tenant,
            require_text(model, "model"),
            at_most=require_at_most(at_most),
        )
        return await self._transaction.changed(statement)

    async def delete_stale(self, *, at_most: int | None = None) -> int:
        tenant = self._transaction.tenant
        statement = rows.delete_rows(
            self.entity, tenant, _COLUMNS.stale, at_most=require_at_most(at_most)
        )
        return await self._transaction.changed(statement)


@implements(ports.PatternReader)
class PatternReader(ReadRepository[GlobalPattern]):
    """Reads the patterns that all tenants share."""

    entity = GlobalPattern

    async def lookup(
        self,
        severity: Severity,
        category: Category,
        confidence_band: ConfidenceBand,
        pattern_fingerprint: str,
    ) -> GlobalPattern | None:
        columns = GlobalPattern.__table__.c
        kind = (
            columns.severity == severity,
            columns.category == category,
            columns.confidence_band == confidence_band,
            columns.pattern_fingerprint == pattern_fingerprint,
        )
        return await self._one(self._select().where(*kind))


@implements(ports.PatternRepository)
class PatternRepository(PatternReader, AppendRepository[GlobalPattern]):
    """Counts the patterns that all tenants share."""

    async def record(self, pattern: GlobalPattern) -> GlobalPattern:
        require_entity(pattern, GlobalPattern)
        if pattern.count < 1:
            raise InvalidInput(
                f"count must be at least 1, not {shown(pattern.count)}", field="count"
            )
        await self._transaction.flush()  # Other entities can be refused too.
        try:
            result = await self._transaction.execute(learning.add_up(pattern))
        except InvalidInput:
            raise InvalidInput(COUNT_TOO_LARGE, field="count") from None
        return self._hydrate(dict(result.mappings().one()))
