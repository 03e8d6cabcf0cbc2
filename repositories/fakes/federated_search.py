"""Search over knowledge, memories and findings, in memory."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from itertools import combinations
from typing import TYPE_CHECKING, Any
from uuid import UUID

from domain import ports
from domain.entities.knowledge import KnowledgeChunk
from domain.entities.learning import LearningMemory
from domain.entities.reviews import Finding
from domain.ports.implementing import implements
from domain.values.corpora import NEAR_DUPLICATE, ids_with_embeddings
from domain.values.search import (
    Corpus,
    Distance,
    SearchHits,
)
from repositories.common_search.base import RankedByBoth, RankedByWords
from repositories.common_search.corpora import CorporaSearch
from repositories.fakes.knowledge import FakeKnowledgeReader
from repositories.fakes.learning import FakeMemoryReader
from repositories.fakes.reviews import FakeFindingReader
from repositories.fakes.vectors import distance_between
from repositories.fakes.writes import Condition

if TYPE_CHECKING:
    from domain import Vector
    from repositories.fakes.transaction import Transaction


class _Knowledge(FakeKnowledgeReader, RankedByBoth[KnowledgeChunk, Condition]): ...


class _Memories(FakeMemoryReader, RankedByBoth[LearningMemory, Condition]): ...


class _Findings(FakeFindingReader, RankedByWords[Finding, Condition]): ...


@implements(ports.FederatedSearch)
class FakeFederatedSearch(CorporaSearch[Condition]):
    """Searches knowledge, memories and findings in one call."""

    def __init__(self, transaction: Transaction) -> None:
        super().__init__(
            _Knowledge(transaction, KnowledgeChunk),
            _Memories(transaction, LearningMemory),
            _Findings(transaction, Finding),
        )
        self._transaction = transaction

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
                table = self._transaction.state.tables[names[corpus]]
                for row in await self._transaction.tenant_rows.find_many(table, ids):
                    if row["embedding"] is not None:
                        embeddings[row["id"]] = row["embedding"]
        duplicates: defaultdict[UUID, list[UUID]] = defaultdict(list)
        for (one, left), (other, right) in combinations(embeddings.items(), 2):
            if distance_between(left, right, Distance.COSINE) <= 1.0 - NEAR_DUPLICATE:
                duplicates[one].append(other)
        return duplicates
