"""Which memories a recall reads, and rows whose embedding is computed again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from uuid import UUID

from domain.values.filters import Filter, where

if TYPE_CHECKING:
    from domain.values.embedding import VectorLike

OWNER_REPOS: Final = 5
"""How many other repositories of an owner share memories: those with most live memories."""


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
