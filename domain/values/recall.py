"""What a reviewer remembers.

Learning memories with where they came from, and the embeddings that have to be made again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

if TYPE_CHECKING:
    from pgvector import Vector

    from domain.entities.learning import LearningMemory
    from domain.values.search import SearchHit, SearchHits

OWNER_REPOS = 5
"""How many of an owner's other repositories share their memories: those with most of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecalledMemory:
    """One memory that was recalled.

    `shared` tells that it is another repository's of the same owner.
    """

    hit: SearchHit[LearningMemory]
    shared: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Recall:
    """What was recalled, best first, and how.

    `repos` are the repositories that the memories come from, in the order of their first memory.
    `candidates` counts what was looked at before duplicates were dropped and the limit applied.
    """

    memories: tuple[RecalledMemory, ...]
    repo: str
    owner: str
    limit: int
    repos: tuple[str, ...]
    shared_pool_used: bool
    candidates: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RepairCandidate:
    """A row whose embedding is missing, stale or another model's, and the text to embed."""

    id: UUID
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RepairedEmbedding:
    """A new embedding for one row."""

    id: UUID
    embedding: Vector


def merge_recall(
    own: SearchHits[LearningMemory],
    shared: SearchHits[LearningMemory],
    *,
    repo: str,
    owner: str,
    limit: int,
) -> Recall:
    """Return own memories first, then shared ones, each finding text once."""
    told: set[str] = set()
    memories: list[RecalledMemory] = []
    candidates: list[tuple[SearchHit[LearningMemory], bool]] = [(hit, False) for hit in own] + [
        (hit, True) for hit in shared
    ]
    for hit, is_shared in candidates:
        words = " ".join(hit.item.finding_text.casefold().split())
        if words not in told and len(memories) < limit:
            told.add(words)
            memories.append(RecalledMemory(hit=hit, shared=is_shared))
    return Recall(
        memories=tuple(memories),
        repo=repo,
        owner=owner,
        limit=limit,
        repos=tuple(dict.fromkeys(memory.hit.item.repo for memory in memories)),
        shared_pool_used=any(memory.shared for memory in memories),
        candidates=len(candidates),
    )
