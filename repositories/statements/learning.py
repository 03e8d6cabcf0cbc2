"""Memories that are new, that an owner shares, or that a model left stale; and counted patterns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, Float, Integer, Select, Update, and_, bindparam, func, null, select, true, update
from sqlalchemy.dialects.postgresql import Insert, insert
from sqlalchemy.sql.dml import ReturningInsert

from domain.embedding import EmbeddingColumn
from domain.learning import GlobalPattern, LearningMemory
from domain.recall import OWNER_REPOS
from domain.search import Distance
from repositories.statements.rows import fields
from repositories.statements.vector import distance_between

if TYPE_CHECKING:
    from pgvector import Vector

_TABLE = LearningMemory.__table__
_COLUMNS = _TABLE.c


def cosine_distance(embedding: Vector) -> ColumnElement[float]:
    """Return the cosine distance of a memory's embedding."""
    return distance_between(_COLUMNS.embedding, bindparam("embedding", embedding, EmbeddingColumn()), Distance.COSINE)


def nearest_for_owner(distance: ColumnElement[float], tenant: str, *, owner: str, exclude_repo: str, limit: int) -> Select[Any]:
    """Select the nearest memories of the owner's other repositories with most of them, each giving its fair share.

    Exact: every repository's live memories are ranked, so that none is starved by its neighbours in an index.
    """
    of_owner = and_(_COLUMNS.tenant == tenant, _COLUMNS.owner == owner, _COLUMNS.repo != exclude_repo)
    live = and_(of_owner, _COLUMNS.stale.is_(False), _COLUMNS.embedding.is_not(None))
    repos = (
        select(_COLUMNS.repo, func.count().over().label("found"))
        .where(live)
        .group_by(_COLUMNS.repo)
        .order_by(func.count().desc(), _COLUMNS.repo.collate("C"))
        .limit(OWNER_REPOS)
        .cte("repos")
    )
    share = select(func.greatest(1, func.ceil(limit / func.count().cast(Float)))).select_from(repos).scalar_subquery()
    turn = func.row_number().over(partition_by=_COLUMNS.repo, order_by=(distance, _COLUMNS.id))
    ranked = (
        select(_COLUMNS.id, distance.label("distance"), turn.label("turn"))
        .where(live, _COLUMNS.repo.in_(select(repos.c.repo)))
        .cte("ranked")
    )
    rank = func.row_number().over(order_by=(ranked.c.distance, ranked.c.id))
    absent = (null().cast(Float).label("hit_fused"), null().cast(Float).label("hit_relevance"))
    return (
        select(
            *fields(LearningMemory),
            ranked.c.distance.label("hit_distance"),
            rank.label("hit_vector_rank"),
            *absent,
            true().label("hit_exact"),
            null().cast(Integer).label("hit_keyword_rank"),
            null().label("hit_terms"),
        )
        .join_from(ranked, _TABLE, and_(_COLUMNS.tenant == tenant, _COLUMNS.id == ranked.c.id))
        .where(ranked.c.turn <= share)
        .order_by(ranked.c.distance, ranked.c.id)
        .limit(limit)
    )


def write_new(values: list[dict[str, Any]]) -> Insert:
    """Insert the memories whose `(repo, finding_id, outcome)` is new; the first one wins."""
    return insert(_TABLE).values(values).on_conflict_do_nothing(index_elements=["tenant", "repo", "finding_id", "outcome"])


def mark_stale(tenant: str, model: str) -> Update:
    """Mark the memories of every other model stale, those that are not yet."""
    statement = update(LearningMemory).values(stale=True)
    others = (_COLUMNS.tenant == tenant, _COLUMNS.embedding_model != model, _COLUMNS.stale.is_(False))
    return statement.where(*others).execution_options(synchronize_session=False)


def add_up(pattern: GlobalPattern) -> ReturningInsert[Any]:
    """Insert the pattern or add its count to what there is; returns the sum."""
    kind = ("severity", "category", "confidence_band", "pattern_fingerprint")
    values = {name: getattr(pattern, name) for name in (*kind, "id", "count")}
    statement = insert(GlobalPattern.__table__).values(values)
    counted = GlobalPattern.__table__.c.count + statement.excluded.count
    return statement.on_conflict_do_update(index_elements=kind, set_={"count": counted}).returning(*fields(GlobalPattern))
