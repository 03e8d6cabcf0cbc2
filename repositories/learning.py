"""Learning memories and global patterns, in PostgreSQL."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from domain.entities.learning import ConfidenceBand, GlobalPattern, LearningMemory, Outcome
from domain.errors import InvalidInput
from domain.values.classification import Category, Severity
from domain.values.embedding import VectorLike
from domain.values.filters import Filter, where
from domain.values.paging import require_at_most, require_limit
from domain.values.recall import Recall, merge_recall
from domain.values.reranking import Diversity, Recency
from domain.values.search import Distance, Match, SearchHits, Weights
from repositories.base import ReadRepository, Repository
from repositories.conflict_writes import insert_new
from repositories.reembedding import RepairRepository
from repositories.search import SearchRepository
from repositories.sql import learning, rows

if TYPE_CHECKING:
    from domain.ports import Progress, Rows

_COLUMNS = LearningMemory.__table__.c


def _live(repo: str) -> Filter:
    return where("stale").equals(value=False) & where("repo").equals(repo)


class MemoryReader(SearchRepository[LearningMemory]):
    """Recalls what was learned."""

    entity = LearningMemory

    async def exists_for(self, repo: str, finding_id: UUID, outcome: Outcome) -> bool:
        same = (
            _COLUMNS.repo == repo,
            _COLUMNS.finding_id == finding_id,
            _COLUMNS.outcome == outcome,
        )
        return bool(await self._scalar(rows.any_rows(self.entity, self._transaction.tenant, *same)))

    async def nearest(
        self,
        embedding: VectorLike,
        *,
        repo: str,
        limit: int = 10,
        max_distance: float | None = None,
    ) -> SearchHits[LearningMemory]:
        return await self._search_vectors(
            embedding, _live(repo), limit=limit, max_distance=max_distance
        )

    async def nearest_for_owner(
        self, embedding: VectorLike, *, owner: str, exclude_repo: str, limit: int = 10
    ) -> SearchHits[LearningMemory]:
        values = {
            "embedding": self.query_vector(embedding),
            "owner": owner,
            "exclude_repo": exclude_repo,
        }
        return self._hits(
            await self._found(learning.nearest_for_owner(require_limit(limit)), values),
            metric=Distance.COSINE,
        )

    async def keyword_search(
        self,
        query: str,
        *,
        repo: str,
        limit: int = 10,
        match: Match = Match.ANY,
        explain: bool = False,
    ) -> SearchHits[LearningMemory]:
        return await self._search_words(
            query, _live(repo), limit=limit, match=match, explain=explain
        )

    async def hybrid_search(
        self,
        query: str,
        embedding: VectorLike,
        *,
        repo: str,
        limit: int = 10,
        weights: Weights = Weights(),
        match: Match = Match.ANY,
        diversity: Diversity | None = None,
        recency: Recency | None = None,
    ) -> SearchHits[LearningMemory]:
        self.query_vector(embedding)
        if not query.strip():
            return SearchHits()
        return await self._search_both(
            query,
            embedding,
            _live(repo),
            limit=limit,
            weights=weights,
            match=match,
            diversity=diversity,
            recency=recency,
        )

    async def recall(
        self, embedding: VectorLike, text: str, *, repo: str, owner: str, limit: int = 10
    ) -> Recall:
        vector = self.query_vector(embedding)
        if text.strip():
            own = await self.hybrid_search(text, vector, repo=repo, limit=limit)
        else:
            own = await self.nearest(vector, repo=repo, limit=limit)
        shared = await self.nearest_for_owner(vector, owner=owner, exclude_repo=repo, limit=limit)
        return merge_recall(own, shared, repo=repo, owner=owner, limit=limit)


class MemoryRepository(MemoryReader, RepairRepository[LearningMemory], Repository[LearningMemory]):
    """Writes what was learned."""

    repaired_text = _COLUMNS.finding_text

    async def write(self, memory: LearningMemory) -> bool:
        return await self.write_many([memory]) == 1

    async def write_many(
        self, memories: Rows[LearningMemory], *, progress: Progress | None = None
    ) -> int:
        key = ("repo", "finding_id", "outcome")
        return await insert_new(self._transaction, LearningMemory, memories, key, progress=progress)

    async def mark_stale(self, model: str, *, at_most: int | None = None) -> int:
        statement = learning.mark_stale(
            self._transaction.tenant, model, at_most=require_at_most(at_most)
        )
        return await self._transaction.changed(statement)

    async def delete_stale(self, *, at_most: int | None = None) -> int:
        tenant = self._transaction.tenant
        statement = rows.delete_rows(
            self.entity, tenant, _COLUMNS.stale, at_most=require_at_most(at_most)
        )
        return await self._transaction.changed(statement)


class PatternReader(ReadRepository[GlobalPattern]):
    """Reads patterns over all tenants."""

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


class PatternRepository(PatternReader, Repository[GlobalPattern]):
    """Counts patterns over all tenants."""

    async def record(self, pattern: GlobalPattern) -> GlobalPattern:
        if pattern.count < 1:
            raise InvalidInput("count must be at least 1", field="count")
        result = await self._transaction.execute(learning.add_up(pattern))
        return GlobalPattern.model_construct(**result.mappings().one())
