"""The keyword search of passages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from domain import ports
from domain.entities.knowledge import KnowledgeChunk
from domain.ports.implementing import implements
from domain.values import filters
from domain.values.scores import Thresholds
from domain.values.search import Match
from repositories.common_search.base import ConditionT
from repositories.common_search.vector import VectorSearches

if TYPE_CHECKING:
    from domain.values.filters import Filter
    from domain.values.search import SearchHits


@implements(ports.KnowledgeReader)
class KnowledgeSearches(VectorSearches[KnowledgeChunk, ConditionT]):
    """Searches passages by vector, by words, and by both."""

    async def keyword_search(
        self,
        query: str,
        *,
        limit: int = 10,
        where: Filter | None = None,
        match: Match = Match.ANY,
        source_types: Sequence[str] = (),
        languages: Sequence[str] = (),
        explain: bool = False,
        min_score: float | None = None,
        distinct: bool = False,
    ) -> SearchHits[KnowledgeChunk]:
        return await self._search_words(
            query,
            self._condition(where, _kinds_filter(source_types, languages)),
            limit=limit,
            match=match,
            explain=explain,
            thresholds=Thresholds(min_score=min_score),
            distinct=distinct,
        )


def _kinds_filter(source_types: Sequence[str], languages: Sequence[str]) -> Filter | None:
    """Return the filter that passages of any of these source types and languages meet.

    An empty sequence allows all. The result is None if both are empty.
    """
    choices = {"source_type": source_types, "language": languages}
    parts = tuple(filters.where(name).one_of(values) for name, values in choices.items() if values)
    return filters.AllOf(parts) if parts else None
