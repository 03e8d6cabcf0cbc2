"""Rows whose embedding is computed again, and their new embeddings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

if TYPE_CHECKING:
    from domain.values.embedding import VectorLike


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
