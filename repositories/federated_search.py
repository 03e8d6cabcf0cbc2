"""Search over knowledge, memories and findings, in PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from domain import ports
from domain.ports.implementing import implements
from domain.values import filters
from domain.values.corpora import fuse_corpora, ids_with_embeddings
from domain.values.paging import require_limit
from domain.values.search import (
    Corpus,
    SearchHits,
    SearchOptions,
    Thresholds,
    Weights,
    arm_depth,
)
from repositories.knowledge import KnowledgeReader
from repositories.learning import MemoryReader
from repositories.reviews import FindingReader
from repositories.sql.federated_search import near_duplicates
from repositories.sql.filters import FilterKey

if TYPE_CHECKING:
    from domain.entities.knowledge import KnowledgeChunk
    from domain.entities.learning import LearningMemory
    from domain.entities.reviews import Finding
    from domain.values.corpora import Remembered
    from domain.values.embedding import VectorLike
    from domain.values.filters import Filter
    from repositories.postgres.transaction import Transaction


_HITS_PER_TURN: Final = 500
"""Hits that are fused without a thread, which takes some milliseconds."""


class _Knowledge(KnowledgeReader):
    async def ranked(
        self,
        query: str,
        embedding: VectorLike,
        condition: FilterKey,
        weights: Weights | None,
        options: SearchOptions,
    ) -> SearchHits[KnowledgeChunk]:
        return await self._search_both(query, embedding, condition, weights=weights, **options)


class _Memories(MemoryReader):
    async def ranked(
        self,
        query: str,
        embedding: VectorLike,
        condition: FilterKey,
        weights: Weights | None,
        options: SearchOptions,
    ) -> SearchHits[LearningMemory]:
        return await self._search_both(query, embedding, condition, weights=weights, **options)


class _Findings(FindingReader):
    async def ranked(
        self, query: str, condition: FilterKey, options: SearchOptions
    ) -> SearchHits[Finding]:
        return await self._search_words(query, condition, **options)


@implements(ports.FederatedSearch)
class FederatedSearch:
    """Searches knowledge, memories and findings in one call."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction
        self._knowledge = _Knowledge(transaction)
        self._memories = _Memories(transaction)
        self._findings = _Findings(transaction)

    async def search(
        self,
        query: str,
        embedding: VectorLike,
        *,
        repo: str | None = None,
        limit: int = 10,
        corpora: Collection[Corpus] = tuple(Corpus),
        where: Filter | None = None,
        weights: Weights | None = None,
        min_score: float | None = None,
        max_distance: float | None = None,
        distinct: bool = True,
    ) -> SearchHits[Remembered]:
        vector = self._knowledge.query_vector(embedding)
        options = SearchOptions(
            limit=arm_depth(require_limit(limit)),
            thresholds=Thresholds(min_score=min_score, max_distance=max_distance),
            distinct=distinct,
        )
        if not query.strip():
            return SearchHits()
        of_repo = None if repo is None else filters.where("repo").equals(repo)
        rankings: dict[Corpus, SearchHits[Any]] = {}
        if Corpus.KNOWLEDGE in corpora:
            of_repo_or_none = None if repo is None else filters.where("repo").one_of(("", repo))
            condition = FilterKey(of_repo_or_none, where)
            rankings[Corpus.KNOWLEDGE] = await self._knowledge.ranked(
                query, vector, condition, weights, options
            )
        if Corpus.MEMORIES in corpora:
            live = filters.where("stale").equals(value=False)
            rankings[Corpus.MEMORIES] = await self._memories.ranked(
                query, vector, FilterKey(live, of_repo, where), weights, options
            )
        if Corpus.FINDINGS in corpora:
            condition = FilterKey(of_repo, where)
            rankings[Corpus.FINDINGS] = await self._findings.ranked(query, condition, options)
        duplicates = await self._near_duplicates(rankings) if distinct else {}
        if sum(map(len, rankings.values())) <= _HITS_PER_TURN:
            return fuse_corpora(rankings, duplicates, limit=limit, distinct=distinct)
        # Many hits would hold the event loop.
        return await asyncio.to_thread(
            fuse_corpora, rankings, duplicates, limit=limit, distinct=distinct
        )

    async def _near_duplicates(
        self, rankings: Mapping[Corpus, SearchHits[Any]]
    ) -> dict[UUID, list[UUID]]:
        ids = {corpus.value: keys for corpus, keys in ids_with_embeddings(rankings).items()}
        if sum(map(len, ids.values())) < 2:
            return {}
        rows = await self._transaction.rows(
            near_duplicates(), {**ids, "tenant": self._transaction.tenant}
        )
        return {row["id"]: row["duplicates"] for row in rows}
