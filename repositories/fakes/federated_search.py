"""Search over knowledge, memories and findings, in memory."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from itertools import combinations
from typing import TYPE_CHECKING, Any
from uuid import UUID

from domain import ports
from domain.entities.knowledge import KnowledgeChunk
from domain.entities.learning import LearningMemory
from domain.entities.reviews import Finding
from domain.ports.implementing import implements
from domain.values import filters
from domain.values.corpora import NEAR_DUPLICATE, fuse_corpora, ids_with_embeddings
from domain.values.paging import require_limit
from domain.values.search import (
    Corpus,
    Distance,
    SearchHits,
    SearchOptions,
    Thresholds,
    Weights,
    arm_depth,
)
from repositories.fakes.filters import meeting
from repositories.fakes.knowledge import FakeKnowledgeReader
from repositories.fakes.learning import FakeMemoryReader
from repositories.fakes.reviews import FakeFindingReader
from repositories.fakes.vectors import distance_between, query_vector

if TYPE_CHECKING:
    from domain import Vector
    from domain.values.corpora import Remembered
    from domain.values.embedding import VectorLike
    from domain.values.filters import Filter
    from repositories.fakes.transaction import Transaction
    from repositories.fakes.writes import Condition


class _Knowledge(FakeKnowledgeReader):
    async def ranked(
        self,
        query: str,
        embedding: VectorLike,
        condition: Condition,
        weights: Weights | None,
        options: SearchOptions,
    ) -> SearchHits[KnowledgeChunk]:
        return await self._search_both(query, embedding, condition, weights=weights, **options)


class _Memories(FakeMemoryReader):
    async def ranked(
        self,
        query: str,
        embedding: VectorLike,
        condition: Condition,
        weights: Weights | None,
        options: SearchOptions,
    ) -> SearchHits[LearningMemory]:
        return await self._search_both(query, embedding, condition, weights=weights, **options)


class _Findings(FakeFindingReader):
    async def ranked(
        self, query: str, condition: Condition, options: SearchOptions
    ) -> SearchHits[Finding]:
        return await self._search_words(query, condition, **options)


@implements(ports.FederatedSearch)
class FakeFederatedSearch:
    """Searches knowledge, memories and findings in one call."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction
        self._knowledge = _Knowledge(transaction, KnowledgeChunk)
        self._memories = _Memories(transaction, LearningMemory)
        self._findings = _Findings(transaction, Finding)

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
        vector = query_vector(embedding, self._transaction.state.dimensions)
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
            condition = meeting(KnowledgeChunk, of_repo_or_none, where)
            rankings[Corpus.KNOWLEDGE] = await self._knowledge.ranked(
                query, vector, condition, weights, options
            )
        if Corpus.MEMORIES in corpora:
            live = filters.where("stale").equals(value=False)
            rankings[Corpus.MEMORIES] = await self._memories.ranked(
                query, vector, meeting(LearningMemory, live, of_repo, where), weights, options
            )
        if Corpus.FINDINGS in corpora:
            condition = meeting(Finding, of_repo, where)
            rankings[Corpus.FINDINGS] = await self._findings.ranked(query, condition, options)
        duplicates = await self._near_duplicates(rankings) if distinct else {}
        return fuse_corpora(rankings, duplicates, limit=limit, distinct=distinct)

    async def _near_duplicates(
        self, rankings: Mapping[Corpus, SearchHits[Any]]
    ) -> dict[UUID, list[UUID]]:
        names = {
            Corpus.KNOWLEDGE: KnowledgeChunk.__tablename__,
            Corpus.MEMORIES: LearningMemory.__tablename__,
        }
        embeddings: dict[UUID, Vector] = {}
        async with self._transaction.statement():
            for corpus, ids in ids_with_embeddings(rankings).items():
                keys = set(ids)
                for row in self._transaction.select(self._transaction.state.tables[names[corpus]]):
                    if row["id"] in keys and row["embedding"] is not None:
                        embeddings[row["id"]] = row["embedding"]
        duplicates: defaultdict[UUID, list[UUID]] = defaultdict(list)
        for (one, left), (other, right) in combinations(embeddings.items(), 2):
            if distance_between(left, right, Distance.COSINE) <= 1.0 - NEAR_DUPLICATE:
                duplicates[one].append(other)
        return duplicates
