"""Statements of re-embedding: candidates, new embeddings, and the state of a job."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    Column,
    ColumnElement,
    Insert,
    Select,
    Update,
    Uuid,
    and_,
    cast,
    column,
    func,
    literal_column,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import BYTEA, insert

from domain.entities.learning import LearningMemory
from domain.entities.maintenance import EmbeddingRepair
from domain.schema.columns import EmbeddingColumn
from domain.schema.text_hash import sha256_sql
from repositories.sql.rows import fields, tenant_equals

if TYPE_CHECKING:
    from pgvector import Vector

    from domain.schema.base import Entity


def _needs_embedding(entity: type[Entity], target_model: str) -> ColumnElement[bool]:
    columns = entity.__table__.c
    return or_(
        columns.embedding.is_(None),
        columns.stale,
        and_(columns.stale.is_(False), is_of_another_model(entity, target_model)),
    )


def is_of_another_model(entity: type[Entity], model: str) -> ColumnElement[bool]:
    """Return the condition that a row's embedding is another model's, or no model's.

    Unlike `<>` and IS DISTINCT FROM, the comparisons can use an index: 193 → 0.7 ms for no row of
    200,000.
    """
    named = entity.__table__.c.embedding_model
    return or_(named < model, named > model, named.is_(None))


def count_candidates(entity: type[Entity], tenant: str, target_model: str) -> Select[int]:
    """Count the rows whose embedding is missing, stale or another model's."""
    statement = select(func.count()).select_from(entity.__table__)
    return statement.where(tenant_equals(entity, tenant), _needs_embedding(entity, target_model))


def candidates(
    entity: type[Entity],
    tenant: str,
    target_model: str,
    *,
    text: ColumnElement[Any],
    after: UUID | None,
    limit: int,
) -> Select[Any]:
    """Select ids and texts of the next rows to embed, by id."""
    key = entity.__table__.c.id
    chosen: list[ColumnElement[Any]] = [key, text.label("text")]
    statement = select(*chosen).where(
        tenant_equals(entity, tenant), _needs_embedding(entity, target_model)
    )
    if after is not None:
        statement = statement.where(key > after)
    return statement.order_by(key).limit(limit)


def write_embeddings(
    entity: type[Entity],
    tenant: str,
    model: str,
    vectors: Sequence[tuple[UUID, Vector, bytes | None]],
    *,
    text: Column[Any],
) -> Update:
    """Write the new embeddings of any number of rows in one statement.

    Args:
        entity: the entity.
        tenant: the tenant.
        model: the model of the embeddings.
        vectors: ids, embeddings, and SHA-256 of the text that a row must have, if any.
        text: the column with the text.
    """
    ids, embeddings, hashes = map(list, zip(*vectors, strict=True))
    pairs = (
        func.unnest(
            cast(ids, ARRAY(Uuid())),
            cast(embeddings, ARRAY(EmbeddingColumn())),
            cast(hashes, ARRAY(BYTEA())),
        )
        .table_valued(
            column("id", Uuid()), column("embedding", EmbeddingColumn()), column("hash", BYTEA())
        )
        .render_derived("given")
    )
    hashed = literal_column(sha256_sql(f"{text.table}.{text.name}"), BYTEA())
    values: dict[str, Any] = {
        "embedding": pairs.c.embedding,
        "embedding_model": model,
        "stale": False,
    }
    if entity is LearningMemory:
        values["embedding_dim"] = func.vector_dims(pairs.c.embedding)
    statement = (
        update(entity)
        .values(values)
        .where(
            tenant_equals(entity, tenant),
            entity.__table__.c.id == pairs.c.id,
            _needs_embedding(entity, model),
            or_(pairs.c.hash.is_(None), pairs.c.hash == hashed),
        )
    )
    return statement.execution_options(synchronize_session=False)


def state(tenant: str, corpus: str, key: str) -> Select[Any]:
    """Select the state of one job."""
    columns = EmbeddingRepair.__table__.c
    return select(*fields(EmbeddingRepair)).where(
        columns.tenant == tenant, columns.corpus == corpus, columns.key == key
    )


def save_state(values: dict[str, Any]) -> Insert:
    """Insert or replace the state of one job. The server sets `updated_at`."""
    # Citus refuses `now()` in DO UPDATE SET, and accepts it in VALUES.
    written = {**values, "updated_at": func.now()}
    statement = insert(EmbeddingRepair.__table__).values(written)
    unchanged = {"tenant", "corpus", "key", "created_at"}
    replaced: dict[str, Any] = {
        name: statement.excluded[name] for name in written if name not in unchanged
    }
    return statement.on_conflict_do_update(
        index_elements=["tenant", "corpus", "key"], set_=replaced
    )
