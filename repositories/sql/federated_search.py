"""The statement that selects rows whose embeddings are nearly the same."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    ColumnElement,
    Float,
    Select,
    Uuid,
    and_,
    any_,
    bindparam,
    func,
    select,
    union_all,
)
from sqlalchemy.dialects.postgresql import ARRAY

from domain.entities.knowledge import KnowledgeChunk
from domain.entities.learning import LearningMemory
from domain.schema.columns import EmbeddingColumn
from domain.values.corpora import NEAR_DUPLICATE
from domain.values.search import Corpus, Distance
from repositories.sql.ctes import materialized
from repositories.sql.rows import tenant_bind
from repositories.sql.vector import OPERATORS

if TYPE_CHECKING:
    from domain.schema.base import Entity


@cache
def near_duplicates() -> Select[Any]:
    """Select ids, each with the greater ids whose embeddings are nearly the same.

    Their cosine similarity is `NEAR_DUPLICATE` or more. Binds: `tenant`, and ids of chunks and
    memories as `knowledge` and `memories`.
    """
    each = (_units(KnowledgeChunk, Corpus.KNOWLEDGE), _units(LearningMemory, Corpus.MEMORIES))
    units = materialized(union_all(*each), "units")
    one, other = units.alias("one"), units.alias("other")
    cosine = -one.c.unit.op(OPERATORS[Distance.INNER_PRODUCT], return_type=Float())(other.c.unit)
    near = and_(one.c.id < other.c.id, cosine >= NEAR_DUPLICATE)
    duplicates = func.array_agg(other.c.id).label("duplicates")
    columns: list[ColumnElement[Any]] = [one.c.id, duplicates]
    return select(*columns).join_from(one, other, near).group_by(one.c.id)


def _units(entity: type[Entity], corpus: Corpus) -> Select[Any]:
    columns = entity.__table__.c
    # Embeddings are normalised and read once, not fetched for every pair.
    unit: list[ColumnElement[Any]] = [
        columns.id,
        func.l2_normalize(columns.embedding, type_=EmbeddingColumn()).label("unit"),
    ]
    chosen = columns.id == any_(bindparam(corpus.value, type_=ARRAY(Uuid())))
    return select(*unit).where(tenant_bind(entity), chosen, columns.embedding.is_not(None))
