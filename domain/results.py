"""Results of operations that consist of entities, and of facts about them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from pydantic import SerializeAsAny

from domain.entities.knowledge import KnowledgeChunk
from domain.entities.learning import LearningMemory
from domain.entities.reviews import Finding
from domain.values.search import SearchHit, SearchHits

# Pydantic finds the choice of a union by fields, and warns of the state that SQLAlchemy adds.
Remembered: TypeAlias = SerializeAsAny[KnowledgeChunk | LearningMemory | Finding]
"""A row that `corpora.search` returns."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PriorFinding:
    """A finding of the last completed run, with a fingerprint to match it in the next run."""

    finding: Finding
    fingerprint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RecalledMemory:
    """One memory of a recall. `shared` is True if it belongs to another repository of the owner."""

    hit: SearchHit[LearningMemory]
    shared: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Recall:
    """The memories of a recall, best first, and where they come from.

    `repos` are the repositories of the memories, in the order of their first memory. `candidates`
    counts the hits before the limit. `bound_reached` is True if further texts may exist, as in
    `SearchHits`.
    """

    memories: tuple[RecalledMemory, ...]
    repo: str
    owner: str
    limit: int
    repos: tuple[str, ...]
    shared_pool_used: bool
    candidates: int
    bound_reached: bool = False


def merge_recall(
    own: SearchHits[LearningMemory],
    shared: SearchHits[LearningMemory],
    *,
    repo: str,
    owner: str,
    limit: int,
) -> Recall:
    """Return own memories first, then shared ones, up to the limit."""
    hits = [*own, *shared]
    memories = tuple(RecalledMemory(hit=hit, shared=hit.item.repo != repo) for hit in hits[:limit])
    return Recall(
        memories=memories,
        repo=repo,
        owner=owner,
        limit=limit,
        repos=tuple(dict.fromkeys(memory.hit.item.repo for memory in memories)),
        shared_pool_used=any(memory.shared for memory in memories),
        candidates=len(hits),
        bound_reached=(own.bound_reached or shared.bound_reached) and len(memories) < limit,
    )
