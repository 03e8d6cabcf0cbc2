"""Re-embedding of rows, by a job that can stop at any moment."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol
from uuid import UUID

if TYPE_CHECKING:
    from domain.entities.maintenance import EmbeddingRepair
    from domain.values.reembedding import RepairCandidate, RepairedEmbedding


class RepairReader(Protocol):
    """Finds rows whose embedding is missing, stale or of another model."""

    async def count_repair_candidates(self, target_model: str) -> int:
        """Return how many rows have to be embedded with a model.

        Args:
            target_model: model that all rows should have.
        """
        ...

    async def repair_candidates(
        self, target_model: str, *, after: UUID | None = None, limit: int = 100
    ) -> Sequence[RepairCandidate]:
        """Return the next rows to embed, by id, with their texts.

        Args:
            target_model: model that all rows should have.
            after: id of the last row that the job passed; None to begin.
            limit: largest number of rows, 1 to 10,000.

        Raises:
            InvalidInput: `after` is not a UUID, or `limit` is out of range.
        """
        ...

    async def repair_state(self, key: str) -> EmbeddingRepair | None:
        """Return the progress of a job, or None if it never began.

        Args:
            key: name of the job.
        """
        ...


class Repairs(RepairReader, Protocol):
    """Finds rows whose embedding is missing, stale or of another model, and writes new embeddings.

    A job reads candidates after its cursor, embeds them outside any unit of work, and writes them
    together with its moved cursor in one transaction. If it is killed, it continues with the first
    row that it did not repair. A dry run saves no state.
    """

    async def write_repaired(
        self, rows: Sequence[RepairedEmbedding], state: EmbeddingRepair
    ) -> int:
        """Write embeddings and the job's state; return how many rows have a new embedding.

        While a job waits for its embedder, others can delete a row, write its embedding, or change
        its text. Only rows that are still candidates get an embedding, and only if they have the
        `text` that was embedded. A row with a changed text is found by the next job.

        Args:
            rows: ids, embeddings of `state.target_model`, and the texts that were embedded. If an
                id occurs twice, the last embedding counts.
            state: progress of the job, its cursor moved past the rows.

        Raises:
            InvalidEmbedding: an embedding does not have the dimension of the database.
        """
        ...

    async def save_repair_state(self, state: EmbeddingRepair) -> None:
        """Insert or replace the state of a job. The server sets `updated_at`.

        Args:
            state: progress of the job.
        """
        ...
