"""Learning memories and global patterns, in PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final
from uuid import UUID

from domain import ports
from domain.entities.learning import ConfidenceBand, GlobalPattern, LearningMemory, Outcome
from domain.errors import InvalidInput
from domain.ports.implementing import implements
from domain.schema.writing import require_entity
from domain.values.classification import Category, Severity
from domain.values.embedding import VectorLike
from domain.values.paging import require_at_most, require_limit
from domain.values.recall import Recall, live_memories, merge_recall
from domain.values.reranking import Diversity, Recency
from domain.values.search import Match, SearchHits, SearchOptions, Thresholds, Weights
from domain.values.shown import shown
from domain.values.text_hash import text_hash
from repositories.base import AppendRepository, ReadRepository, Repository
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
class MemoryReader(RepairReader[LearningMemory]):
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

    async def nearest(
        self,
        embedding: VectorLike,
        *,
        repo: str,
        limit: int = 10,
        where: Filter | None = None,
        min_score: float | None = None,
        max_distance: float | None = None,
        distinct: bool = False,
    ) -> SearchHits[LearningMemory]:
        return await self._search_vectors(
            embedding,
            FilterKey(live_memories(repo), where),
            limit=limit,
            thresholds=Thresholds(min_score=min_score, max_distance=max_distance),
            distinct=distinct,
        )

    async def nearest_for_owner(
        self,
        embedding: VectorLike,
        *,
        owner: str,
        exclude_repo: str,
        limit: int = 10,
        where: Filter | None = None,
        min_score: float | None = None,
        max_distance: float | None = None,
        distinct: bool = False,
    ) -> SearchHits[LearningMemory]:
        thresholds = Thresholds(min_score=min_score, max_distance=max_distance)
        return await self._shared(
            embedding,
            owner,
            exclude_repo,
            where,
            limit=limit,
            thresholds=thresholds,
            distinct=distinct,
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
        values = {
            "embedding": self.query_vector(embedding),
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

    async def keyword_search(
        self,
        query: str,
        *,
        repo: str,
        limit: int = 10,
        where: Filter | None = None,
        match: Match = Match.ANY,
        explain: bool = False,
        min_score: float | None = None,
        distinct: bool = False,
    ) -> SearchHits[LearningMemory]:
        return await self._search_words(
            query,
            FilterKey(live_memories(repo), where),
            limit=limit,
            match=match,
            explain=explain,
            thresholds=Thresholds(min_score=min_score),
            distinct=distinct,
        )

    async def hybrid_search(
        self,
        query: str,
        embedding: VectorLike,
        *,
        repo: str,
        limit: int = 10,
        where: Filter | None = None,
        weights: Weights | None = None,
        match: Match = Match.ANY,
        diversity: Diversity | None = None,
        recency: Recency | None = None,
        min_score: float | None = None,
        max_distance: float | None = None,
        distinct: bool = False,
    ) -> SearchHits[LearningMemory]:
        thresholds = Thresholds(min_score=min_score, max_distance=max_distance)
        self.query_vector(embedding)
        require_limit(limit)
        if not query.strip():
            return SearchHits()
        return await self._search_both(
            query,
            embedding,
            FilterKey(live_memories(repo), where),
            limit=limit,
            weights=weights,
            match=match,
            diversity=diversity,
            recency=recency,
            thresholds=thresholds,
            distinct=distinct,
        )

    async def recall(
        self,
        embedding: VectorLike,
        text: str,
        *,
        repo: str,
        owner: str,
        limit: int = 10,
        where: Filter | None = None,
        weights: Weights | None = None,
        min_score: float | None = None,
        max_distance: float | None = None,
        distinct: bool = True,
        shared: bool = True,
        one_ranking: bool = False,
    ) -> Recall:
        vector = self.query_vector(embedding)
        options = SearchOptions(
            limit=require_limit(limit),
            thresholds=Thresholds(min_score=min_score, max_distance=max_distance),
            distinct=distinct,
        )
        repos = [repo]
        if shared and one_ranking:
            repos += await self._owner_repos(owner, repo)
        live = FilterKey(live_memories(*repos), where)
        if text.strip():
            own = await self._search_both(text, vector, live, weights=weights, **options)
        else:
            own = await self._search_vectors(vector, live, **options)
        others: SearchHits[LearningMemory] = SearchHits()
        if shared and not one_ranking:
            texts = {text_hash(hit.item.finding_text) for hit in own} if distinct else ()
            others = await self._shared(
                vector, owner, repo, where, excluded_texts=sorted(texts), **options
            )
        return merge_recall(own, others, repo=repo, owner=owner, limit=limit)

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
            self._transaction.tenant, model, at_most=require_at_most(at_most)
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
        result = await self._transaction.execute(learning.add_up(pattern))
        return self._hydrate(dict(result.mappings().one()))
