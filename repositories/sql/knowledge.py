"""Chunks that replace their namesakes, and the one record of how a database embeds."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Select, func, select
from sqlalchemy.dialects.postgresql import Insert, insert

from domain.entities.knowledge import EmbeddingMetadata, KnowledgeChunk
from repositories.sql.caching import cached_statement
from repositories.sql.rows import fields

_KEPT = {"tenant", "id", "repo", "chunk_id", "created_at", "updated_at"}


def or_replace_chunk(statement: Insert) -> Insert:
    """Let the statement insert chunks, or replace those with the same name, of which id and `created_at` stay."""
    replaced: dict[str, Any] = {
        column.name: statement.excluded[column.name]
        for column in KnowledgeChunk.__table__.c
        if column.name not in _KEPT and column.computed is None
    }
    return statement.on_conflict_do_update(
        index_elements=["tenant", "repo", "chunk_id"], set_={**replaced, "updated_at": func.now()}
    )


@cached_statement
def embedding_record() -> Select[Any]:
    """Select the record of how this database embeds."""
    return select(*fields(EmbeddingMetadata))


def record_embedding(record: EmbeddingMetadata) -> Insert:
    """Insert the record of how this database embeds, or replace what it says."""
    values = {
        "id": record.id,
        "provider": record.provider,
        "model": record.model,
        "dimensions": record.dimensions,
    }
    statement = insert(EmbeddingMetadata.__table__).values(values)
    said = {name: statement.excluded[name] for name in ("provider", "model", "dimensions")}
    return statement.on_conflict_do_update(index_elements=["id"], set_=said)
