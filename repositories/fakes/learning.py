"""Learning memories and global patterns, in memory."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING
from uuid import UUID

from domain import ports
from domain.entities.learning import (
    COUNT_TOO_LARGE,
    PATTERN_KIND,
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
from domain.values.numbers import INT32_MAX
from domain.values.paging import require_at_most, require_limit
from domain.values.recall import OWNER_REPOS
from domain.values.scores import Thresholds
from domain.values.search import Distance, SearchHits
from domain.values.shown import shown
from domain.values.text import require_text
from domain.values.text_hash import text_hash
from repositories.common_search.memories import MemorySearches
from repositories.fakes.filters import meeting
from repositories.fakes.reembedding import FakeRepairReader, FakeRepairRepository
from repositories.fakes.repository import FakeAppendRepository, FakeReadRepository, FakeRepository
from repositories.fakes.writes import Condition, always, only

if TYPE_CHECKING:
    from domain.ports import Progress, Rows
    from domain.values.filters import Filter
    from repositories.fakes.checks import Row


@implements(ports.MemoryReader)
class FakeMemoryReader(FakeRepairReader[LearningMemory], MemorySearches[Condition]):
    """Searches learning memories."""

    searched = (("finding_text", "C"),)
    text = "finding_text"
    repaired_text = "finding_text"

    async def exists_for(self, repo: str, finding_id: UUID, outcome: Outcome) -> bool:
        same = (repo, finding_id, outcome)
        return bool(
            await self._rows(lambda row: (row["repo"], row["finding_id"], row["outcome"]) == same)
        )

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
        query = self._query_vector(embedding)
        require_limit(limit)
        meets = meeting(self._entity, where)
        async with self._searching():
            rows = await self._transaction.tenant_rows.select(
                self._table, lambda row: _shares(row, owner, repo)
            )
            repos = _largest(rows)
            near = await self._vector_arm(
                await only(rows, lambda row: row["repo"] in repos and meets(row)),
                query,
                thresholds,
                distinct=distinct,
            )
        share = max(1, math.ceil(limit / max(1, len(repos))))
        shares: Counter[str] = Counter()
        ranked: list[tuple[Row, float]] = []
        for row, distance in near:
            if text_hash(row["finding_text"]) not in excluded_texts and shares[row["repo"]] < share:
                shares[row["repo"]] += 1
                ranked.append((row, distance))
        return await self._vector_hits(ranked[:limit], Distance.COSINE)

    async def _owner_repos(self, owner: str, repo: str) -> Sequence[str]:
        async with self._transaction.statement():
            return _largest(
                await self._transaction.tenant_rows.select(
                    self._table, lambda row: _shares(row, owner, repo)
                )
            )


@implements(ports.MemoryRepository)
class FakeMemoryRepository(
    FakeMemoryReader, FakeRepairRepository[LearningMemory], FakeRepository[LearningMemory]
):
    """Writes learning memories."""

    async def write(self, memory: LearningMemory) -> bool:
        return await self.write_many([memory]) == 1

    async def write_many(
        self, memories: Rows[LearningMemory], *, progress: Progress | None = None
    ) -> int:
        return await self.add_new(memories, "repo", "finding_id", "outcome", progress=progress)

    async def mark_stale(self, model: str, *, at_most: int | None = None) -> int:
        require_text(model, "model")
        require_at_most(at_most)

        def is_to_be_marked(row: Row) -> bool:
            return row["embedding_model"] != model and not row["stale"]

        async with self._transaction.statement():
            return await self._transaction.tenant_rows.update(
                self._table, is_to_be_marked, always({"stale": True}), at_most=at_most
            )

    async def delete_stale(self, *, at_most: int | None = None) -> int:
        return await self._delete(lambda row: bool(row["stale"]), at_most=require_at_most(at_most))


@implements(ports.PatternReader)
class FakePatternReader(FakeReadRepository[GlobalPattern]):
    """Reads the patterns that all tenants share."""

    async def lookup(
        self,
        severity: Severity,
        category: Category,
        confidence_band: ConfidenceBand,
        pattern_fingerprint: str,
    ) -> GlobalPattern | None:
        kind = (severity, category, confidence_band, pattern_fingerprint)
        return self._first(
            await self._rows(lambda row: tuple(row[name] for name in PATTERN_KIND) == kind)
        )


@implements(ports.PatternRepository)
class FakePatternRepository(FakePatternReader, FakeAppendRepository[GlobalPattern]):
    """Counts the patterns that all tenants share."""

    async def record(self, pattern: GlobalPattern) -> GlobalPattern:
        require_entity(pattern, GlobalPattern)
        if pattern.count < 1:
            raise InvalidInput(
                f"count must be at least 1, not {shown(pattern.count)}", field="count"
            )
        async with self._transaction.statement():
            [row] = await self._new([pattern])
            stored = await self._transaction.rows.upsert(
                self._table,
                row,
                self._table.unique_over(*PATTERN_KIND),
                lambda old: {"count": _sum(old["count"], pattern.count)},
            )
        return self._copy(stored)


def _largest(rows: Sequence[Row]) -> Sequence[str]:
    """Return the repositories with most rows."""
    sizes = Counter(row["repo"] for row in rows)
    return sorted(sizes, key=lambda name: (-sizes[name], name))[:OWNER_REPOS]


def _sum(count: int, added: int) -> int:
    if count + added > INT32_MAX:
        raise InvalidInput(COUNT_TOO_LARGE, field="count")
    return count + added


def _shares(row: Row, owner: str, repo: str) -> bool:
    """Return whether the row is a live memory of another repository of the owner."""
    of_others = row["owner"] == owner and row["repo"] != repo
    return of_others and not row["stale"] and row["embedding"] is not None
