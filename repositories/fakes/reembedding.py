"""Re-embedding of rows, in memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, cast
from uuid import UUID

from domain import ports
from domain.entities.maintenance import EmbeddingRepair
from domain.ports.implementing import implements
from domain.schema.base import Entity
from domain.schema.writing import require_entity
from domain.values.ids import require_id
from domain.values.paging import require_limit
from domain.values.reembedding import RepairCandidate, RepairedEmbedding
from repositories.fakes.search import FakeSearchRepository
from repositories.fakes.tracking import copy_of

if TYPE_CHECKING:
    from repositories.fakes.checks import Row
    from repositories.fakes.tables import Table

E = TypeVar("E", bound=Entity)

_UNCHANGED = {"tenant", "corpus", "key", "created_at"}


@implements(ports.RepairReader)
class FakeRepairReader(FakeSearchRepository[E]):
    """Finds rows whose embedding is missing, stale or of another model."""

    repaired_text: ClassVar[str]
    """The column whose text is embedded."""

    async def count_repair_candidates(self, target_model: str) -> int:
        return len(await self._candidates(target_model))

    async def repair_candidates(
        self, target_model: str, *, after: UUID | None = None, limit: int = 100
    ) -> Sequence[RepairCandidate]:
        require_limit(limit)
        last = None if after is None else require_id(after, "after")
        rows = [
            row for row in await self._candidates(target_model) if last is None or row["id"] > last
        ]
        return [RepairCandidate(id=row["id"], text=row[self.repaired_text]) for row in rows[:limit]]

    async def repair_state(self, key: str) -> EmbeddingRepair | None:
        corpus, repairs = self._table.name, self._repairs
        async with self._transaction.statement():
            rows = await self._transaction.tenant_rows.select(
                repairs, lambda row: (row["corpus"], row["key"]) == (corpus, key)
            )
        return (
            cast("EmbeddingRepair", copy_of(repairs, rows[0], with_embedding=False))
            if rows
            else None
        )

    async def _candidates(self, target_model: str) -> Sequence[Row]:
        return await self._rows(lambda row: _needs_embedding(row, target_model))

    @property
    def _repairs(self) -> Table:
        return self._transaction.state.tables[EmbeddingRepair.__tablename__]


@implements(ports.Repairs)
class FakeRepairRepository(FakeRepairReader[E]):
    """Finds rows whose embedding is missing, stale or of another model, and writes new ones."""

    async def write_repaired(
        self, rows: Sequence[RepairedEmbedding], state: EmbeddingRepair
    ) -> int:
        texts = {require_id(row.id): row.text for row in rows}
        embeddings = {require_id(row.id): self._query_vector(row.embedding) for row in rows}

        def is_repaired(row: Row) -> bool:
            return (
                row["id"] in embeddings
                and _needs_embedding(row, state.target_model)
                and texts[row["id"]] in (None, row[self.repaired_text])
            )

        def repaired(row: Row) -> Row:
            embedding = embeddings[row["id"]]
            changes: dict[str, Any] = {
                "embedding": embedding,
                "embedding_model": state.target_model,
                "stale": False,
            }
            return (
                {**changes, "embedding_dim": embedding.dimensions()}
                if "embedding_dim" in row
                else changes
            )

        written = 0
        if embeddings:
            async with self._transaction.statement():
                written = await self._transaction.tenant_rows.update(
                    self._table, is_repaired, repaired
                )
        await self.save_repair_state(state)
        return written

    async def save_repair_state(self, state: EmbeddingRepair) -> None:
        self._transaction.assign_tenant(require_entity(state, EmbeddingRepair))
        async with self._transaction.statement():
            now = self._transaction.now
            values = {**self._repairs.row_of(state, now), "corpus": self._table.name}
            replaced = {name: value for name, value in values.items() if name not in _UNCHANGED}
            await self._transaction.rows.upsert(
                self._repairs, values, self._repairs.key, lambda _: {**replaced, "updated_at": now}
            )


def _needs_embedding(row: Row, target_model: str) -> bool:
    return row["embedding"] is None or row["stale"] or row["embedding_model"] != target_model
