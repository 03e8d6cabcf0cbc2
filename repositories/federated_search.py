"""Searching knowledge, memories and findings at once, in PostgreSQL."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any
from uuid import UUID

from domain.values.corpora import corpus_depth, fuse_corpora, ids_with_embeddings
from domain.values.filters import where
from domain.values.paging import require_limit
from domain.values.search import Corpus, SearchHits, Weights
from repositories.knowledge import KnowledgeReader
from repositories.learning import MemoryReader
from repositories.reviews import FindingReader
from repositories.sql.federated_search import near_duplicate_pairs

if TYPE_CHECKING:
    from domain.entities.learning import LearningMemory
    from domain.values.corpora import Remembered
    from domain.values.embedding import VectorLike
    from repositories.postgres.transaction import Transaction


class _Memories(MemoryReader):
    async def live(
        self, query: str, embedding: VectorLike, *, repo: str | None, limit: int, weights: Weights
    ) -> SearchHits[LearningMemory]:
        live = where("stale").equals(value=False)
        of_repo = live if repo is None else live & where("repo").equals(repo)
        return await self._search_both(query, embedding, of_repo, limit=limit, weights=weights)


class FederatedSearch:
    """Searches knowledge, memories and findings in one call."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction
        self._knowledge = KnowledgeReader(transaction)
        self._memories = _Memories(transaction)
        self._findings = FindingReader(transaction)

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
        vector, depth = self._knowledge.query_vector(embedding), corpus_depth(require_limit(limit))
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
        ids = {corpus.value: keys for corpus, keys in ids_with_embeddings(found).items()}
        if sum(map(len, ids.values())) < 2:
            return set()
        pairs = await self._transaction.rows(
            near_duplicate_pairs(), {**ids, "tenant": self._transaction.tenant}
        )
        return {frozenset((row["one"], row["other"])) for row in pairs}
