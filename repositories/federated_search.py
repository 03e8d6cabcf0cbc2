"""Search over knowledge, memories and findings, in PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from domain import ports
from domain.entities.knowledge import KnowledgeChunk
from domain.entities.learning import LearningMemory
from domain.entities.reviews import Finding
from domain.ports.implementing import implements
from domain.values.corpora import fuse_corpora, ids_with_embeddings
from domain.values.search import (
    Corpus,
    SearchHits,
)
from repositories.common_search.base import RankedByBoth, RankedByWords
from repositories.common_search.corpora import CorporaSearch
from repositories.knowledge import KnowledgeReader
from repositories.learning import MemoryReader
from repositories.reviews import FindingReader
from repositories.sql.federated_search import near_duplicates
from repositories.sql.filters import FilterKey

if TYPE_CHECKING:
    from domain.results import Remembered
    from repositories.postgres.transaction import Transaction


_HITS_PER_TURN: Final = 500
"""Hits that are fused without a thread, which takes some milliseconds."""


class _Knowledge(KnowledgeReader, RankedByBoth[KnowledgeChunk, FilterKey]): ...


class _Memories(MemoryReader, RankedByBoth[LearningMemory, FilterKey]): ...


class _Findings(FindingReader, RankedByWords[Finding, FilterKey]): ...


@implements(ports.FederatedSearch)
class FederatedSearch(CorporaSearch[FilterKey]):
    """Searches knowledge, memories and findings in one call."""

    def __init__(self, transaction: Transaction) -> None:
        super().__init__(_Knowledge(transaction), _Memories(transaction), _Findings(transaction))
        self._transaction = transaction

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

    async def _fuse(
        self,
        rankings: Mapping[Corpus, SearchHits[Any]],
        duplicates: Mapping[UUID, Sequence[UUID]],
        *,
        limit: int,
        distinct: bool,
    ) -> SearchHits[Remembered]:
        if sum(map(len, rankings.values())) <= _HITS_PER_TURN:
            return await super()._fuse(rankings, duplicates, limit=limit, distinct=distinct)
        # Many hits would hold the event loop.
        return await asyncio.to_thread(
            fuse_corpora, rankings, duplicates, limit=limit, distinct=distinct
        )
