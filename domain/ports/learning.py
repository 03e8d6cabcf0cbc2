"""Learning memories, and patterns over all tenants."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol
from uuid import UUID

from domain.entities.learning import GlobalPattern, LearningMemory
from domain.ports.reembedding import RepairReader, Repairs
from domain.ports.repository import AppendRepository, Progress, ReadRepository, Repository, Rows
from domain.values.search import Match, Weights

if TYPE_CHECKING:
    from domain.entities.learning import ConfidenceBand, Outcome
    from domain.results import Recall
    from domain.values.classification import Category, Severity
    from domain.values.embedding import VectorLike
    from domain.values.filters import Filter
    from domain.values.reranking import Diversity, Recency
    from domain.values.search import SearchHits


class MemoryReader(ReadRepository[LearningMemory], RepairReader, Protocol):
    """Searches learning memories. Searches leave out stale memories.

    The arguments `where`, `min_score`, `max_distance` and `distinct` are those of the searches of
    `KnowledgeReader`.
    """

    async def exists_for(self, repo: str, finding_id: UUID, outcome: Outcome) -> bool:
        """Return whether a memory of this outcome of this finding exists.

        Args:
            repo: repository, as owner/name.
            finding_id: id of the finding.
            outcome: the outcome.

        Raises:
            InvalidInput: `finding_id` is not a UUID, or `outcome` is not an outcome.
        """
        ...

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
        """Return the repository's live memories that are nearest by cosine, ties by id.

        Args:
            embedding: query vector.
            repo: repository, as owner/name.
            limit: largest number of hits, 1 to 10,000.
            where: condition on the memories.
            min_score: least score of a hit.
            max_distance: largest distance of a hit.
            distinct: whether to return only the nearest memory of each text.

        Raises:
            InvalidEmbedding: not finite, all zeros, or not of the database's dimension.
            InvalidFilter: `where` does not fit the entity.
            InvalidInput: `limit` or a threshold is not a number in its range.
        """
        ...

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
        """Return live memories of the owner's other repositories, merged by distance.

        The repositories are the five with most live memories, ties by name. Each contributes at
        most max(1, ceil(limit / repositories)) memories. The search is exact unless the tenant has
        an HNSW index of its own; that index proposes 500 memories, and all are compared if these
        are too few.

        Args:
            embedding: query vector.
            owner: owner of the repositories.
            exclude_repo: repository that is left out, as owner/name.
            limit: largest number of hits, 1 to 10,000.
            where: condition on the memories.
            min_score: least score of a hit.
            max_distance: largest distance of a hit.
            distinct: whether to return only the nearest memory of each text.

        Raises:
            InvalidEmbedding: not finite, all zeros, or not of the database's dimension.
            InvalidFilter: `where` does not fit the entity.
            InvalidInput: `limit` or a threshold is not a number in its range.
        """
        ...

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
        """Return the repository's live memories whose texts match the words best.

        A blank query returns no hits.

        Args:
            query: words.
            repo: repository, as owner/name.
            limit: largest number of hits, 1 to 10,000.
            where: condition on the memories.
            match: how many of the words a memory must contain.
            explain: whether to fill `matched_terms` of the hits.
            min_score: least score of a hit.
            distinct: whether to return only the best memory of each text.

        Raises:
            InvalidFilter: `where` does not fit the entity.
            InvalidInput: `limit` or a threshold is not a number in its range.
        """
        ...

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
        """Return the repository's live memories, nearest and best matching ones fused.

        The arguments are those of `KnowledgeReader.hybrid_search`. A blank query returns no hits.

        Args:
            query: words.
            embedding: query vector.
            repo: repository, as owner/name.
            limit: largest number of hits, 1 to 10,000. With `diversity`, at most 100.
            where: condition on the memories, in both arms.
            weights: how much each arm counts; by default as the setting `vector_weight` says.
            match: how many of the words a memory in the keyword arm must contain.
            diversity: choose among the best 100 memories those that are unlike each other.
            recency: multiply each fused score by the weight of the memory's age.
            min_score: least score in each arm.
            max_distance: largest distance in the vector arm.
            distinct: whether to return only one memory of each text.

        Raises:
            InvalidEmbedding: not finite, all zeros, or not of the database's dimension.
            InvalidFilter: `where` does not fit the entity.
            InvalidInput: `limit` or a threshold is not a number in its range.
        """
        ...

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
        """Return the memories that a reviewer should see: own memories first, then shared ones.

        Own memories are those of `repo`, searched by vector and by words, or by vector alone if
        `text` is blank. Shared memories come from other repositories of `owner`, as in
        `nearest_for_owner`.

        Args:
            embedding: the vector of the text.
            text: the words.
            repo: the repository under review.
            owner: the owner whose other repositories share memories.
            limit: largest number of memories, 1 to 10,000.
            where: only memories that meet this filter.
            weights: how much each arm of the search of own memories counts; by default as the
                setting `vector_weight` says.
            min_score: the least score in each arm, as in `hybrid_search`.
            max_distance: the largest distance in each vector arm. Set it to keep unrelated own
                memories from filling the limit before shared ones.
            distinct: each text once; False returns copies too.
            shared: whether to search the owner's other repositories.
            one_ranking: rank own and shared memories in one order, by vector and by words.

        Raises:
            InvalidEmbedding: not finite, all zeros, or not of the database's dimension.
            InvalidFilter: `where` does not fit the entity.
            InvalidInput: `limit` or a threshold is not a number in its range.
        """
        ...


class MemoryRepository(MemoryReader, Repository[LearningMemory], Repairs, Protocol):
    """Writes learning memories."""

    async def write(self, memory: LearningMemory) -> bool:
        """Write the memory if `(repo, finding_id, outcome)` is new, and return whether it was.

        A memory without a finding is always new.

        Args:
            memory: the memory.

        Raises:
            TenantMismatch: the memory belongs to another tenant.
        """
        ...

    async def write_many(
        self, memories: Rows[LearningMemory], *, progress: Progress | None = None
    ) -> int:
        """Write the memories that are new, as `write` does, and return how many were.

        Args:
            memories: memories, in memory or from an iterator, which can be asynchronous.
            progress: called after each batch with the number of rows sent so far. An exception that
                it raises aborts the unit of work.

        Raises:
            InvalidInput: an item is not a LearningMemory.
            TenantMismatch: a memory belongs to another tenant.
        """
        ...

    async def mark_stale(self, model: str, *, at_most: int | None = None) -> int:
        """Mark the memories of other models than `model` stale, or the first `at_most` of them.

        Return how many were not stale before. Each row stays locked until the unit of work ends,
        and is written again with its index entries: mark many rows in several units of work.

        Args:
            model: embedding model whose memories stay as they are.
            at_most: largest number of memories to mark, lowest ids first; None for all.

        Raises:
            InvalidInput: `model` is empty, or `at_most` is not between 1 and a million.
        """
        ...

    async def delete_stale(self, *, at_most: int | None = None) -> int:
        """Delete the stale memories, or the first `at_most`, and return how many there were.

        Args:
            at_most: largest number of memories to delete, lowest ids first; None for all.

        Raises:
            InvalidInput: `at_most` is not between 1 and a million.
        """
        ...


class PatternReader(ReadRepository[GlobalPattern], Protocol):
    """Reads patterns over all tenants."""

    async def lookup(
        self,
        severity: Severity,
        category: Category,
        confidence_band: ConfidenceBand,
        pattern_fingerprint: str,
    ) -> GlobalPattern | None:
        """Return the pattern with its count, or None if nothing recorded it.

        Args:
            severity: severity of the findings.
            category: category of the findings.
            confidence_band: confidence of the findings.
            pattern_fingerprint: hash of the normalised title.

        Raises:
            InvalidInput: an argument is not a member of its enumeration.
        """
        ...


class PatternRepository(PatternReader, AppendRepository[GlobalPattern], Protocol):
    """Counts patterns over all tenants.

    A tenant can only add to a count. All tenants share the patterns, so only an operator deletes
    them, with SQL.
    """

    async def record(self, pattern: GlobalPattern) -> GlobalPattern:
        """Add the pattern's count to the stored count of its kind; return the pattern with the sum.

        The counts of concurrent callers add up.

        Args:
            pattern: its severity, category, confidence band and fingerprint are the kind.

        Raises:
            InvalidInput: the count is below 1, or the sum exceeds 2,147,483,647.
        """
        ...
