"""Passages, and the record of their embeddings, in PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from domain import ports
from domain.entities.knowledge import EmbeddingMetadata, KnowledgeChunk
from domain.ports.arguments import require_texts
from domain.ports.implementing import implements
from domain.schema.stored import has_row
from domain.values import filters
from domain.values.filter_bounds import MAX_NAME_CHARACTERS, require_selective
from domain.values.paging import require_at_most
from domain.values.turns import lists
from repositories.base import Repository
from repositories.bulk import BulkWrite
from repositories.common_search.knowledge import KnowledgeSearches
from repositories.embedding_record import EmbeddingRecordReader, EmbeddingRecordWriter
from repositories.reembedding import RepairReader, RepairRepository
from repositories.sql import knowledge, rows
from repositories.sql.filters import FilterKey, filter_condition

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement

    from domain.ports import Progress, Rows
    from domain.values.filters import Filter
    from repositories.postgres.transaction import Transaction

_COLUMNS = KnowledgeChunk.__table__.c


@implements(ports.KnowledgeReader)
class KnowledgeReader(RepairReader[KnowledgeChunk], KnowledgeSearches[FilterKey]):
    """Searches passages by name, by vector, by words, and by both."""

    entity = KnowledgeChunk
    repaired_text = _COLUMNS.content

    async def find_by_chunk_id(
        self, chunk_id: str, *, repo: str = "", with_embedding: bool = False
    ) -> KnowledgeChunk | None:
        named = self._select(with_embedding=with_embedding).where(
            _COLUMNS.repo == repo, _COLUMNS.chunk_id == chunk_id
        )
        return await self._one(named)


@implements(ports.KnowledgeRepository)
class KnowledgeRepository(
    KnowledgeReader, RepairRepository[KnowledgeChunk], Repository[KnowledgeChunk]
):
    """Writes passages."""

    async def upsert_many(
        self, chunks: Rows[KnowledgeChunk], *, progress: Progress | None = None
    ) -> int:
        key = ("repo", "chunk_id")
        write = BulkWrite(
            self._transaction,
            KnowledgeChunk,
            key,
            conflict=knowledge.or_replace_chunk,
            latest=True,
            values=_written_values,
        )
        return await write.run(chunks, progress)

    async def delete_where(self, where: Filter, *, at_most: int | None = None) -> int:
        condition = filter_condition(self.entity, require_selective(where))
        return await self._delete_first(condition, at_most=at_most)

    async def delete_chunks(self, chunk_ids: Iterable[str], *, repo: str = "") -> int:
        in_repo, tenant = filters.where("repo").equals(repo), self._transaction.tenant
        # All names are checked before the first row is deleted.
        conditions = [
            filter_condition(self.entity, in_repo & filters.where("chunk_id").one_of(names))
            async for some in lists(chunk_ids)
            for names in filters.batches(require_texts("chunk_ids", some), MAX_NAME_CHARACTERS)
        ]
        statements = [rows.delete_rows(self.entity, tenant, one) for one in conditions]
        return sum([await self._transaction.changed(statement) for statement in statements])

    async def reset(self, *, at_most: int | None = None) -> int:
        return await self._delete_first(at_most=at_most)

    async def _delete_first(self, *conditions: ColumnElement[bool], at_most: int | None) -> int:
        statement = rows.delete_rows(
            self.entity, self._transaction.tenant, *conditions, at_most=require_at_most(at_most)
        )
        return await self._transaction.changed(statement)


def _written_values(chunk: KnowledgeChunk) -> Mapping[str, Any]:
    # A chunk that was read has the time of its last replacement; the server sets the next one.
    return {**vars(chunk), "updated_at": None} if has_row(chunk) else vars(chunk)


@implements(ports.EmbeddingMetadataReader)
class EmbeddingMetadataReader(EmbeddingRecordReader):
    """Reads the record of the embeddings in this database."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction

    async def find(self) -> EmbeddingMetadata | None:
        rows = await self._transaction.rows(knowledge.embedding_record())
        return EmbeddingMetadata.from_row(rows[0]) if rows else None


@implements(ports.EmbeddingMetadataRepository)
class EmbeddingMetadataRepository(EmbeddingMetadataReader, EmbeddingRecordWriter):
    """Records the provider, model and dimensions of the embeddings in this database."""

    @property
    def _dimensions(self) -> int:
        return self._transaction.schema.dimensions

    async def _replace(self, record: EmbeddingMetadata, *, only_unspecified: bool) -> None:
        statement = knowledge.record_embedding(record, only_unspecified=only_unspecified)
        await self._transaction.execute(statement)
