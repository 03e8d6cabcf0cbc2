"""Recalled memories with their origin, and rows whose embedding is computed again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from uuid import UUID

from domain.values.filters import Filter, where

if TYPE_CHECKING:
    from domain.entities.learning import LearningMemory
    from domain.values.embedding import VectorLike
    from domain.values.search import SearchHit, SearchHits

OWNER_REPOS: Final = 5
"""How many other repositories of an owner share memories: those with most live memories."""


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


@dataclass(frozen=True, slots=True, kw_only=True)
class RepairCandidate:
    """A row whose embedding is missing, stale or another model's, and the text to embed."""

    id: UUID
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RepairedEmbedding:
    """A new embedding for one row.

    `text` is the text that was embedded. A row whose text has changed since is left as it is, and
    stays a candidate. None embeds the row whatever its text is.
    """

    id: UUID
    embedding: VectorLike
    text: str | None = None


def live_memories(*repos: str) -> Filter:
    """Return the filter that memories of these repositories meet if they are not stale."""
    return where("stale").equals(value=False) & where("repo").one_of(repos)


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
