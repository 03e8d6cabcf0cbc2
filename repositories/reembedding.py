"""Re-embedding of rows, in PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar
from uuid import UUID

from domain import ports
from domain.entities.maintenance import EmbeddingRepair
from domain.ports.implementing import implements
from domain.schema.base import Entity
from domain.schema.writing import require_entity
from domain.values.ids import require_id
from domain.values.paging import require_limit
from domain.values.reembedding import RepairCandidate, RepairedEmbedding
from domain.values.turns import slices, sorted_in_slices
from repositories.base import column_values
from repositories.search import SearchRepository
from repositories.sql import reembedding as repairs

if TYPE_CHECKING:
    from sqlalchemy import Column

E = TypeVar("E", bound=Entity)


@implements(ports.RepairReader)
class RepairReader(SearchRepository[E]):
    """Finds rows whose embedding is missing, stale or of another model."""

    repaired_text: ClassVar[Column[Any]]
    """Column with the text to embed."""

    async def count_repair_candidates(self, target_model: str) -> int:
        statement = repairs.count_candidates(self.entity, self._transaction.tenant, target_model)
        return int(await self._scalar(statement))

    async def repair_candidates(
        self, target_model: str, *, after: UUID | None = None, limit: int = 100
    ) -> Sequence[RepairCandidate]:
        statement = repairs.candidates(
            self.entity,
            self._transaction.tenant,
            target_model,
            text=self.repaired_text,
            after=None if after is None else require_id(after, "after"),
            limit=require_limit(limit),
        )
        rows = await self._transaction.rows(statement)
        return [
            RepairCandidate(id=row["id"], text=row["text"])
            async for some in slices(rows)
            for row in some
        ]

    async def repair_state(self, key: str) -> EmbeddingRepair | None:
        statement = repairs.state(self._transaction.tenant, self.entity.__tablename__, key)
        rows = await self._transaction.rows(statement)
        return EmbeddingRepair.from_row(rows[0]) if rows else None


@implements(ports.Repairs)
class RepairRepository(RepairReader[E]):
    """Finds rows whose embedding is missing, stale or of another model, and writes new ones."""

    async def write_repaired(
        self, rows: Sequence[RepairedEmbedding], state: EmbeddingRepair
    ) -> int:
        written = 0
        if rows:
            last = {require_id(row.id): row for row in rows}
            ordered = await sorted_in_slices(list(last.values()), lambda row: require_id(row.id))
            vectors = [
                (require_id(row.id), self._query_vector(row.embedding), _text_hash(row))
                async for some in slices(ordered)
                for row in some
            ]
            statement = repairs.write_embeddings(
                self.entity,
                self._transaction.tenant,
                state.target_model,
                vectors,
                text=self.repaired_text,
            )
            written = await self._transaction.changed(statement)
        await self.save_repair_state(state)
        return written

    async def save_repair_state(self, state: EmbeddingRepair) -> None:
        self._transaction.assign_tenant(require_entity(state, EmbeddingRepair))
        values = {**column_values(state), "corpus": self.entity.__tablename__}
        await self._transaction.execute(repairs.save_state(values))


def _text_hash(row: RepairedEmbedding) -> bytes | None:
    return None if row.text is None else sha256(row.text.encode(errors="surrogatepass")).digest()
