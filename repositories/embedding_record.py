"""The record of the embeddings in a database: its rules on PostgreSQL and in memory."""

from __future__ import annotations

from abc import ABC, abstractmethod

from domain import ports
from domain.entities.knowledge import EmbeddingMetadata
from domain.errors import EmbeddingMismatch, NotFound
from domain.ports.implementing import implements


@implements(ports.EmbeddingMetadataReader)
class EmbeddingRecordReader(ABC):
    """Reads the record."""

    @abstractmethod
    async def find(self) -> EmbeddingMetadata | None:
        """Return the record, or None before the schema has one."""

    async def get(self) -> EmbeddingMetadata:
        record = await self.find()
        if record is None:
            raise NotFound(EmbeddingMetadata.__name__, "1")
        return record

    async def check_compatible(self, *, provider: str, model: str, dimensions: int) -> None:
        if record := await self.find():
            record.require_compatible(provider=provider, model=model, dimensions=dimensions)


@implements(ports.EmbeddingMetadataRepository)
class EmbeddingRecordWriter(EmbeddingRecordReader):
    """Writes the record. It keeps the dimensions, which are those of the vector columns."""

    @property
    @abstractmethod
    def _dimensions(self) -> int:
        """The dimensions of the vector columns."""

    @abstractmethod
    async def _replace(self, record: EmbeddingMetadata, *, only_unspecified: bool) -> None:
        """Insert or replace the record; with `only_unspecified`, unless it names another model."""

    async def set(self, *, provider: str, model: str, dimensions: int) -> EmbeddingMetadata:
        record = EmbeddingMetadata(provider=provider, model=model, dimensions=dimensions)
        return await self._write(record, only_unspecified=False)

    async def agree_on_embeddings(
        self, *, provider: str, model: str, dimensions: int
    ) -> EmbeddingMetadata:
        own = EmbeddingMetadata(provider=provider, model=model, dimensions=dimensions)
        record = await self.find()
        if record is not None:
            record.require_compatible(provider=provider, model=model, dimensions=dimensions)
        if record is None or not record.is_specified:
            record = await self._write(own, only_unspecified=True)
            record.require_compatible(provider=provider, model=model, dimensions=dimensions)
        return record

    async def _write(
        self, record: EmbeddingMetadata, *, only_unspecified: bool
    ) -> EmbeddingMetadata:
        if record.dimensions != self._dimensions:
            raise EmbeddingMismatch(
                "dimensions", recorded=self._dimensions, requested=record.dimensions
            )
        await self._replace(record, only_unspecified=only_unspecified)
        return await self.get()
