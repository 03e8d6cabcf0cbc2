"""The keyword search of findings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from domain import ports
from domain.entities.reviews import Finding
from domain.ports.implementing import implements
from domain.values import filters
from domain.values.scores import Thresholds
from domain.values.search import Match
from repositories.common_search.base import ConditionT, WordSearches

if TYPE_CHECKING:
    from domain.values.filters import Filter
    from domain.values.search import SearchHits


@implements(ports.FindingReader)
class FindingSearches(WordSearches[Finding, ConditionT]):
    """Searches findings by their titles."""

    async def keyword_search(
        self,
        query: str,
        *,
        repo: str | None = None,
        limit: int = 10,
        where: Filter | None = None,
        match: Match = Match.ANY,
        explain: bool = False,
        min_score: float | None = None,
        distinct: bool = False,
    ) -> SearchHits[Finding]:
        of_repo = None if repo is None else filters.where("repo").equals(repo)
        return await self._search_words(
            query,
            self._condition(of_repo, where),
            limit=limit,
            match=match,
            explain=explain,
            thresholds=Thresholds(min_score=min_score),
            distinct=distinct,
        )
