"""Searching knowledge, memories and findings at once, in memory."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from itertools import combinations
from typing import TYPE_CHECKING, Any
from uuid import UUID

from domain.entities.knowledge import KnowledgeChunk
from domain.entities.learning import LearningMemory
from domain.entities.reviews import Finding
from domain.values.corpora import ALIKE, corpus_depth, fuse_corpora, ids_with_embeddings
from domain.values.filters import where
from domain.values.paging import require_limit
from domain.values.search import Corpus, Distance, Match, SearchHits, Weights
from repositories.fakes.filters import meeting
from repositories.fakes.knowledge import FakeKnowledgeReader
from repositories.fakes.learning import FakeMemoryReader
from repositories.fakes.reviews import FakeFindingReader
from repositories.fakes.vectors import distance_between, query_vector

if TYPE_CHECKING:
    from domain import Vector
    from domain.values.corpora import Remembered
    from domain.values.embedding import VectorLike
    from repositories.fakes.transaction import Transaction


class _Memories(FakeMemoryReader):
    async def live(
        self, query: str, embedding: VectorLike, *, repo: str | None, limit: int, weights: Weights
    ) -> SearchHits[LearningMemory]:
        live = where("stale").equals(value=False)
        meets = meeting(LearningMemory, live if repo is None else live & where("repo").equals(repo))
        return await self._search_both(
            query, embedding, meets, limit=limit, weights=weights, match=Match.ANY
        )


class FakeFederatedSearch:
    """Searches knowledge, memories and findings in one call."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction
        self._knowledge = FakeKnowledgeReader(transaction, KnowledgeChunk)
        self._memories = _Memories(transaction, LearningMemory)
        self._findings = FakeFindingReader(transaction, Finding)

    async def search(
        self,
        query: str,
        embedding: VectorLike,
        *,
        repo: str | None = None,
        limit: int = 10,
        corpora: Collection[Corpus] = tuple(Corpus),
        weights: Weights = Weights(),
    ) -> SearchHits[Remembered]:
        vector, depth = (
            query_vector(embedding, self._transaction.state.dimensions),
            corpus_depth(require_limit(limit)),
        )
        if not query.strip():
            return SearchHits()
        found: dict[Corpus, SearchHits[Any]] = {}
        if Corpus.KNOWLEDGE in corpora:
            of_repo = None if repo is None else where("repo").one_of(("", repo))
            found[Corpus.KNOWLEDGE] = await self._knowledge.hybrid_search(
                query, vector, where=of_repo, limit=depth, weights=weights
            )
        if Corpus.MEMORIES in corpora:
            found[Corpus.MEMORIES] = await self._memories.live(
                query, vector, repo=repo, limit=depth, weights=weights
            )
        if Corpus.FINDINGS in corpora:
            found[Corpus.FINDINGS] = await self._findings.keyword_search(
                query, repo=repo, limit=depth
            )
        return fuse_corpora(found, await self._alike(found), limit=limit)

    async def _alike(self, found: Mapping[Corpus, SearchHits[Any]]) -> set[frozenset[UUID]]:
        names = {
            Corpus.KNOWLEDGE: KnowledgeChunk.__tablename__,
            Corpus.MEMORIES: LearningMemory.__tablename__,
        }
        embeddings: dict[UUID, Vector] = {}
        async with self._transaction.statement():
            for corpus, ids in ids_with_embeddings(found).items():
                wanted = set(ids)
                for row in self._transaction.select(self._transaction.state.tables[names[corpus]]):
                    if row["id"] in wanted and row["embedding"] is not None:
                        embeddings[row["id"]] = row["embedding"]
        return {
            frozenset((one, other))
            for (one, left), (other, right) in combinations(embeddings.items(), 2)
            if distance_between(left, right, Distance.COSINE) <= 1.0 - ALIKE
        }
