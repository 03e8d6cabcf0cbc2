"""Memories that are new, that an owner shares, or that a model left stale; and counted patterns."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Float, Select, Update, and_, bindparam, func, null, select, true, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.sql.dml import ReturningInsert

from domain.entities.learning import PATTERN_KIND, GlobalPattern, LearningMemory
from domain.values.recall import OWNER_REPOS
from domain.values.search import Distance
from repositories.sql.caching import cached_statement
from repositories.sql.rows import fields, first_rows, tenant_bind
from repositories.sql.vector import distance_between

_TABLE = LearningMemory.__table__
_COLUMNS = _TABLE.c


@cached_statement
def nearest_for_owner(limit: int) -> Select[Any]:
    """Select the nearest memories of the owner's other repositories with most of them, each giving
    its fair share.

    Exact: every repository's live memories are ranked, so that none is starved by its neighbours in
        an index. Binds: `tenant`,
    `owner`, `exclude_repo`, `embedding`.
    """
    tenant = tenant_bind(LearningMemory)
    others = and_(
        tenant, _COLUMNS.owner == bindparam("owner"), _COLUMNS.repo != bindparam("exclude_repo")
    )
    live = and_(others, _COLUMNS.stale.is_(False), _COLUMNS.embedding.is_not(None))
    most = select(_COLUMNS.repo).where(live).group_by(_COLUMNS.repo)
    repos = (
        most.order_by(func.count().desc(), _COLUMNS.repo.collate("C"))
        .limit(OWNER_REPOS)
        .cte("repos")
    )
    share = (
        select(func.greatest(1, func.ceil(limit / func.count().cast(Float))))
        .select_from(repos)
        .scalar_subquery()
    )
    distance = distance_between(_COLUMNS.embedding, Distance.COSINE)
    turn = func.row_number().over(partition_by=_COLUMNS.repo, order_by=(distance, _COLUMNS.id))
    in_turn = select(_COLUMNS.id, distance.label("distance"), turn.label("turn"))
    ranked = in_turn.where(live, _COLUMNS.repo.in_(select(repos.c.repo))).cte("ranked")
    return (
        select(
            *fields(LearningMemory),
            ranked.c.distance.label("hit_distance"),
            func.row_number()
            .over(order_by=(ranked.c.distance, ranked.c.id))
            .label("hit_vector_rank"),
            *(
                null().label(f"hit_{name}")
                for name in ("fused", "relevance", "keyword_rank", "terms")
            ),
            true().label("hit_exact"),
        )
        .join_from(ranked, _TABLE, and_(tenant, _COLUMNS.id == ranked.c.id))
        .where(ranked.c.turn <= share)
        .order_by(ranked.c.distance, ranked.c.id)
        .limit(limit)
    )


def mark_stale(tenant: str, model: str, *, at_most: int | None) -> Update:
    """Mark the memories of every other model stale, those that are not yet."""
    statement = update(LearningMemory).values(stale=True)
    others = (
        _COLUMNS.tenant == tenant,
        _COLUMNS.embedding_model != model,
        _COLUMNS.stale.is_(False),
    )
    return statement.where(*first_rows(LearningMemory, at_most, *others)).execution_options(
        synchronize_session=False
    )


def add_up(pattern: GlobalPattern) -> ReturningInsert[Any]:
    """Insert the pattern or add its count to what there is; returns the sum."""
    values = {name: getattr(pattern, name) for name in (*PATTERN_KIND, "id", "count")}
    statement = insert(GlobalPattern.__table__).values(values)
    counted = GlobalPattern.__table__.c.count + statement.excluded.count
    return statement.on_conflict_do_update(
        index_elements=PATTERN_KIND, set_={"count": counted}
    ).returning(*fields(GlobalPattern))
