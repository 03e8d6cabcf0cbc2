"""Learning memories, and patterns over all tenants."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol
from uuid import UUID

from domain.entities.learning import GlobalPattern, LearningMemory
from domain.ports.reembedding import Repairs
from domain.ports.repository import Progress, ReadRepository, Repository, Rows
from domain.values.search import Match, Weights

if TYPE_CHECKING:
    from domain.entities.learning import ConfidenceBand, Outcome
    from domain.values.classification import Category, Severity
    from domain.values.embedding import VectorLike
    from domain.values.recall import Recall
    from domain.values.reranking import Diversity, Recency
    from domain.values.search import SearchHits


class MemoryReader(ReadRepository[LearningMemory], Protocol):
    """Recalls what was learned.

    Stale memories and those without an embedding are not nearest to anything.
    """

    async def exists_for(self, repo: str, finding_id: UUID, outcome: Outcome) -> bool:
        """Return whether this outcome of this finding is remembered."""
        ...

    async def nearest(
        self,
        embedding: VectorLike,
        *,
        repo: str,
        limit: int = 10,
        max_distance: float | None = None,
    ) -> SearchHits[LearningMemory]:
        """Return the repository's live memories nearest by cosine, at most `max_distance` away,
        ties by id.

        Raises:
            InvalidEmbedding: not finite, all zeros, or not of the database's dimension.
        """
        ...

    async def nearest_for_owner(
        self, embedding: VectorLike, *, owner: str, exclude_repo: str, limit: int = 10
    ) -> SearchHits[LearningMemory]:
        """Return memories that the owner's other repositories share, merged by distance.

        They are the five with most live memories, ties by name; each gives at most max(1,
        ceil(limit / repositories)).

        Raises:
            InvalidEmbedding: not finite, all zeros, or not of the database's dimension.
        """
        ...

    async def keyword_search(
        self,
        query: str,
        *,
        repo: str,
        limit: int = 10,
        match: Match = Match.ANY,
        explain: bool = False,
    ) -> SearchHits[LearningMemory]:
        """Return the repository's live memories whose text best matches the words.

        A blank query finds nothing.
        """
        ...

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
        """Return the repository's live memories, nearest and best matching fused, in one round
        trip; a blank query finds nothing.

        `diversity` and `recency` do what they do to passages: `KnowledgeReader.hybrid_search`.

        Raises:
            InvalidEmbedding: not finite, all zeros, or not of the database's dimension.
        """
        ...

    async def recall(
        self, embedding: VectorLike, text: str, *, repo: str, owner: str, limit: int = 10
    ) -> Recall:
        """Return what a reviewer should remember: the repository's own memories first, then those
        its owner shares.

        Own memories are found by vector and words, shared ones by vector; the same finding text is
        told once.

        Raises:
            InvalidEmbedding: not finite, all zeros, or not of the database's dimension.
        """
        ...


class MemoryRepository(MemoryReader, Repository[LearningMemory], Repairs, Protocol):
    """Writes what was learned."""

    async def write(self, memory: LearningMemory) -> bool:
        """Write the memory if `(repo, finding_id, outcome)` is new, and return whether it was.

        Without a finding it always is.
        """
        ...

    async def write_many(
        self, memories: Rows[LearningMemory], *, progress: Progress | None = None
    ) -> int:
        """Write the memories that are new, as `write` does, and return how many were."""
        ...

    async def mark_stale(self, model: str, *, at_most: int | None = None) -> int:
        """Mark every memory of another model than `model` stale, or the first `at_most`, and return
        how many were not before.

        Each keeps its row locked until the unit of work ends, and is written anew with its place in
        the index: of many, mark some in each of several units of work until there are none.

        Raises:
            InvalidInput: `at_most` is not between 1 and a million.
        """
        ...

    async def delete_stale(self, *, at_most: int | None = None) -> int:
        """Delete the stale memories, or the first `at_most`, and return how many there were.

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
        """Return the pattern with its count, or None where it was never seen."""
        ...


class PatternRepository(PatternReader, Repository[GlobalPattern], Protocol):
    """Counts patterns over all tenants."""

    async def record(self, pattern: GlobalPattern) -> GlobalPattern:
        """Add the pattern's count to that of its kind, and return the sum.

        Concurrent callers all count.
        """
        ...
