"""Learning memories and global patterns, in memory."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING
from uuid import UUID

from domain.entities.learning import ConfidenceBand, GlobalPattern, LearningMemory, Outcome
from domain.errors import InvalidInput
from domain.values.classification import Category, Severity
from domain.values.embedding import VectorLike
from domain.values.filters import where
from domain.values.paging import require_at_most, require_limit
from domain.values.recall import OWNER_REPOS, Recall, merge_recall
from domain.values.reranking import Diversity, Recency
from domain.values.search import Distance, Match, SearchHits, Weights
from repositories.fakes.filters import meeting
from repositories.fakes.reembedding import FakeRepairs
from repositories.fakes.repository import FakeReadRepository, FakeRepository
from repositories.fakes.search import SearchesBoth
from repositories.fakes.vectors import nearest
from repositories.fakes.writes import always

if TYPE_CHECKING:
    from domain.ports import Progress, Rows
    from repositories.fakes.checks import Row
    from repositories.fakes.writes import Condition

_KIND = ("severity", "category", "confidence_band", "pattern_fingerprint")


class FakeMemoryReader(SearchesBoth[LearningMemory]):
    """Recalls what was learned."""

    searched = (("finding_text", "C"),)

    async def exists_for(self, repo: str, finding_id: UUID, outcome: Outcome) -> bool:
        same = (repo, finding_id, outcome)
        return bool(
            await self._rows(lambda row: (row["repo"], row["finding_id"], row["outcome"]) == same)
        )

    async def nearest(
        self,
        embedding: VectorLike,
        *,
        repo: str,
        limit: int = 10,
        max_distance: float | None = None,
    ) -> SearchHits[LearningMemory]:
        self._query_vector(embedding)
        return await self._search_vectors(
            embedding, _live_in(repo), limit=limit, max_distance=max_distance
        )

    async def nearest_for_owner(
        self, embedding: VectorLike, *, owner: str, exclude_repo: str, limit: int = 10
    ) -> SearchHits[LearningMemory]:
        query = self._query_vector(embedding)
        require_limit(limit)
        async with self._searching():
            theirs = self._transaction.select(
                self._table, lambda row: row["owner"] == owner and row["repo"] != exclude_repo
            )
        rows = [row for row in theirs if _is_near(row)]
        sizes = Counter(row["repo"] for row in rows)
        repos = sorted(sizes, key=lambda repo: (-sizes[repo], repo))[:OWNER_REPOS]
        share = max(1, math.ceil(limit / max(1, len(repos))))
        shared = [
            row
            for repo in repos
            for row, _ in nearest(
                (row for row in rows if row["repo"] == repo), query, Distance.COSINE, limit=share
            )
        ]
        return self._vector_hits(
            nearest(shared, query, Distance.COSINE, limit=limit), Distance.COSINE
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
            query, _live_in(repo), limit=limit, match=match, explain=explain
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
        self._query_vector(embedding)
        if not query.strip():
            return SearchHits()
        return await self._search_both(
            query,
            embedding,
            _live_in(repo),
            limit=limit,
            weights=weights,
            match=match,
            diversity=diversity,
            recency=recency,
        )

    async def recall(
        self, embedding: VectorLike, text: str, *, repo: str, owner: str, limit: int = 10
    ) -> Recall:
        vector = self._query_vector(embedding)
        if text.strip():
            own = await self.hybrid_search(text, vector, repo=repo, limit=limit)
        else:
            own = await self.nearest(vector, repo=repo, limit=limit)
        shared = await self.nearest_for_owner(vector, owner=owner, exclude_repo=repo, limit=limit)
        return merge_recall(own, shared, repo=repo, owner=owner, limit=limit)


class FakeMemoryRepository(
    FakeMemoryReader, FakeRepairs[LearningMemory], FakeRepository[LearningMemory]
):
    """Writes what was learned."""

    repaired_text = "finding_text"

    async def write(self, memory: LearningMemory) -> bool:
        return await self.write_many([memory]) == 1

    async def write_many(
        self, memories: Rows[LearningMemory], *, progress: Progress | None = None
    ) -> int:
        return await self.add_new(memories, "repo", "finding_id", "outcome", progress=progress)

    async def mark_stale(self, model: str, *, at_most: int | None = None) -> int:
        require_at_most(at_most)

        def is_to_be_marked(row: Row) -> bool:
            return row["embedding_model"] != model and not row["stale"]

        async with self._transaction.statement():
            return await self._transaction.update(
                self._table, is_to_be_marked, always({"stale": True}), at_most=at_most
            )

    async def delete_stale(self, *, at_most: int | None = None) -> int:
        return await self._delete(lambda row: bool(row["stale"]), at_most=require_at_most(at_most))


class FakePatternReader(FakeReadRepository[GlobalPattern]):
    """Reads patterns over all tenants."""

    async def lookup(
        self,
        severity: Severity,
        category: Category,
        confidence_band: ConfidenceBand,
        pattern_fingerprint: str,
    ) -> GlobalPattern | None:
        kind = (severity, category, confidence_band, pattern_fingerprint)
        return self._first(await self._rows(lambda row: tuple(row[name] for name in _KIND) == kind))


class FakePatternRepository(FakePatternReader, FakeRepository[GlobalPattern]):
    """Counts patterns over all tenants."""

    async def record(self, pattern: GlobalPattern) -> GlobalPattern:
        if pattern.count < 1:
            raise InvalidInput("count must be at least 1", field="count")
        async with self._transaction.statement():
            row = self._new([pattern])[0]
            kept = await self._transaction.rows.upsert(
                self._table,
                row,
                self._table.unique_over(*_KIND),
                lambda old: {"count": old["count"] + pattern.count},
            )
        return self._copy(kept)


def _is_near(row: Row) -> bool:
    return not row["stale"] and row["embedding"] is not None


def _live_in(repo: str) -> Condition:
    return meeting(LearningMemory, where("stale").equals(value=False) & where("repo").equals(repo))
