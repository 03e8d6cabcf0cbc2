"""Passages, and the record of their embeddings, in memory."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, cast

from domain import ports
from domain.entities.knowledge import EmbeddingMetadata, KnowledgeChunk
from domain.ports.arguments import require_texts
from domain.ports.implementing import implements
from domain.schema.stored import has_row
from domain.values import filters
from domain.values.embedding import UNSPECIFIED
from domain.values.filter_bounds import MAX_NAME_CHARACTERS, require_selective
from domain.values.paging import require_at_most
from domain.values.turns import lists, slices, sorted_in_slices
from repositories.common_search.knowledge import KnowledgeSearches
from repositories.embedding_record import EmbeddingRecordReader, EmbeddingRecordWriter
from repositories.fakes.binding import Binds
from repositories.fakes.filters import meeting
from repositories.fakes.reembedding import FakeRepairReader, FakeRepairRepository
from repositories.fakes.repository import FakeRepository, report
from repositories.fakes.tracking import copy_of
from repositories.fakes.writes import Condition, always, anything

if TYPE_CHECKING:
    from domain.ports import Progress, Rows
    from domain.values.filters import Filter
    from repositories.fakes.checks import Row
    from repositories.fakes.tables import Unique
    from repositories.fakes.transaction import Transaction

_UNCHANGED = {"tenant", "id", "repo", "chunk_id", "created_at"}


@implements(ports.KnowledgeReader)
class FakeKnowledgeReader(FakeRepairReader[KnowledgeChunk], KnowledgeSearches[Condition]):
    """Searches passages by name, by vector, by words, and by both."""

    searched = (("title", "A"), ("summary", "B"), ("content", "C"))
    text = "content"
    repaired_text = "content"

    async def find_by_chunk_id(
        self, chunk_id: str, *, repo: str = "", with_embedding: bool = False
    ) -> KnowledgeChunk | None:
        rows = await self._rows(lambda row: (row["repo"], row["chunk_id"]) == (repo, chunk_id))
        return self._first(rows, with_embedding=with_embedding)


@implements(ports.KnowledgeRepository)
class FakeKnowledgeRepository(
    FakeKnowledgeReader, FakeRepairRepository[KnowledgeChunk], FakeRepository[KnowledgeChunk]
):
    """Writes passages."""

    async def upsert_many(
        self, chunks: Rows[KnowledgeChunk], *, progress: Progress | None = None
    ) -> int:
        read = await self._read_all(chunks, progress)
        latest = {(chunk.repo, chunk.chunk_id): chunk for chunk in read}
        if not latest:
            return 0
        named = self._table.unique_over("repo", "chunk_id")
        async with self._transaction.statement():
            async for names in slices(await sorted_in_slices(list(latest), tuple)):
                for chunk in [latest[name] for name in names]:
                    await self._upsert(chunk, named)
            report(progress, chunks, sent=len(read), written=len(latest))
        return len(latest)

    async def _upsert(self, chunk: KnowledgeChunk, named: Unique) -> None:
        [row] = await self._new([chunk])
        if has_row(chunk):
            row = {**row, "updated_at": self._transaction.now}
        replaced = {name: value for name, value in row.items() if name not in _UNCHANGED}
        await self._transaction.rows.upsert(self._table, row, named, always(replaced))

    async def delete_where(self, where: Filter, *, at_most: int | None = None) -> int:
        meets = meeting(self._entity, require_selective(where))
        return await self._delete(meets, at_most=require_at_most(at_most))

    async def delete_chunks(self, chunk_ids: Iterable[str], *, repo: str = "") -> int:
        in_repo = filters.where("repo").equals(repo)
        # All names are checked before the first row is deleted.
        predicates = [
            meeting(self._entity, in_repo & filters.where("chunk_id").one_of(names))
            async for some in lists(chunk_ids)
            for names in filters.batches(require_texts("chunk_ids", some), MAX_NAME_CHARACTERS)
        ]
        return sum([await self._delete(meets) for meets in predicates])

    async def reset(self, *, at_most: int | None = None) -> int:
        return await self._delete(anything, at_most=require_at_most(at_most))


@implements(ports.EmbeddingMetadataReader)
class FakeEmbeddingMetadataReader(Binds, EmbeddingRecordReader):
    """Reads the record of the embeddings in this database."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction
        self._table = transaction.state.tables[EmbeddingMetadata.__tablename__]

    async def find(self) -> EmbeddingMetadata | None:
        async with self._transaction.statement():
            rows = await self._transaction.tenant_rows.select(self._table)
        return (
            cast("EmbeddingMetadata", copy_of(self._table, rows[0], with_embedding=False))
            if rows
            else None
        )


@implements(ports.EmbeddingMetadataRepository)
class FakeEmbeddingMetadataRepository(FakeEmbeddingMetadataReader, EmbeddingRecordWriter):
    """Records the provider, model and dimensions of the embeddings in this database."""

    @property
    def _dimensions(self) -> int:
        return self._transaction.state.dimensions

    async def _replace(self, record: EmbeddingMetadata, *, only_unspecified: bool) -> None:
        values = {name: getattr(record, name) for name in ("provider", "model", "dimensions")}

        def change(old: Row) -> Mapping[str, Any]:
            fits = all(old[name] in {UNSPECIFIED, values[name]} for name in ("provider", "model"))
            return values if fits or not only_unspecified else {}

        async with self._transaction.statement():
            row = self._table.row_of(record, self._transaction.now)
            await self._transaction.rows.upsert(self._table, row, self._table.key, change)
