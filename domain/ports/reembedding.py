"""Embedding rows again: what a job needs that can be killed at any moment."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol
from uuid import UUID

if TYPE_CHECKING:
    from domain.entities.maintenance import EmbeddingRepair
    from domain.values.recall import RepairCandidate, RepairedEmbedding


class Repairs(Protocol):
    """Finds rows whose embedding is missing, stale or another model's, and writes new ones.

    A job reads candidates after its cursor, embeds them outside any unit of work, and writes them
    with its moved cursor in one transaction: killed anywhere, it goes on at the first row that was
    not repaired. A dry run saves no state.
    """

    async def count_repair_candidates(self, target_model: str) -> int:
        """Return how many rows have to be embedded with `target_model`."""
        ...

    async def repair_candidates(
        self, target_model: str, *, after: UUID | None = None, limit: int = 100
    ) -> Sequence[RepairCandidate]:
        """Return the next rows to embed, by id, and their texts."""
        ...

    async def write_repaired(
        self, rows: Sequence[RepairedEmbedding], state: EmbeddingRepair
    ) -> int:
        """Write the embeddings as `state.target_model`'s and save the job's state; return how many
        of the rows existed.

        Raises:
            InvalidEmbedding: an embedding is not of the database's dimension.
        """
        ...

    async def repair_state(self, key: str) -> EmbeddingRepair | None:
        """Return how far the job has come, or None where it never began."""
        ...

    async def save_repair_state(self, state: EmbeddingRepair) -> None:
        """Insert or replace the state of the job; `updated_at` is the server's."""
        ...
