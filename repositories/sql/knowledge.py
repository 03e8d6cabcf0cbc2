"""Statements of chunks, and of the record of the embeddings in a database."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Select, and_, case, select
from sqlalchemy.dialects.postgresql import Insert, insert

from domain.entities.knowledge import EmbeddingMetadata, KnowledgeChunk
from domain.values.embedding import UNSPECIFIED
from repositories.sql.caching import cached_statement
from repositories.sql.rows import fields

_UNCHANGED = {"tenant", "id", "repo", "chunk_id", "created_at"}


def or_replace_chunk(statement: Insert) -> Insert:
    """Return the statement with chunks of the same name replaced.

    A replaced chunk keeps its id and `created_at`. An equal embedding is not written again: the row
    keeps the stored value, with the 4 kB that it has outside of the row. The new `updated_at` comes
    from the inserted row, because Citus refuses `now()` here.
    """
    stored, new = KnowledgeChunk.__table__.c.embedding, statement.excluded.embedding
    is_equal = stored.is_not_distinct_from(new)
    replaced: dict[str, Any] = {
        column.name: statement.excluded[column.name]
        for column in KnowledgeChunk.__table__.c
        if column.name not in _UNCHANGED and column.computed is None
    }
    replaced["embedding"] = case((is_equal, stored), else_=new)
    return statement.on_conflict_do_update(
        index_elements=["tenant", "repo", "chunk_id"], set_=replaced
    )


@cached_statement
def embedding_record() -> Select[Any]:
    """Select the record of the embeddings in this database."""
    return select(*fields(EmbeddingMetadata))


def record_embedding(record: EmbeddingMetadata, *, only_unspecified: bool = False) -> Insert:
    """Insert or replace the record of the embeddings in this database.

    With `only_unspecified`, a record of another provider or model stays as it is.
    """
    values = {
        "id": record.id,
        "provider": record.provider,
        "model": record.model,
        "dimensions": record.dimensions,
    }
    table = EmbeddingMetadata.__table__
    statement = insert(table).values(values)
    replacement = {name: statement.excluded[name] for name in ("provider", "model", "dimensions")}
    unspecified = and_(
        table.c.provider.in_((UNSPECIFIED, record.provider)),
        table.c.model.in_((UNSPECIFIED, record.model)),
    )
    return statement.on_conflict_do_update(
        index_elements=["id"], set_=replacement, where=unspecified if only_unspecified else None
    )
