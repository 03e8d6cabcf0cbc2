"""Statements of memories that an owner shares, of stale memories, and of counted patterns."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Float,
    LargeBinary,
    Select,
    Update,
    all_,
    and_,
    bindparam,
    false,
    func,
    literal,
    not_,
    null,
    or_,
    select,
    union_all,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.sql.dml import ReturningInsert

from domain.entities.learning import PATTERN_KIND, GlobalPattern, LearningMemory
from domain.values.recall import OWNER_REPOS
from domain.values.search import Distance
from repositories.sql.caching import cached_statement
from repositories.sql.ctes import materialized
from repositories.sql.filters import FilterKey
from repositories.sql.reembedding import is_of_another_model
from repositories.sql.rows import fields, first_rows, tenant_bind
from repositories.sql.vector import (
    Scan,
    distance_between,
    first_of_each_text,
    literal_int,
    through_index,
)

_TABLE = LearningMemory.__table__
_COLUMNS = _TABLE.c
_FARTHEST: Final = bindparam("max_distance", type_=Float())


def _live_of_others() -> ColumnElement[bool]:
    return and_(
        tenant_bind(LearningMemory),
        _COLUMNS.owner == bindparam("owner"),
        _COLUMNS.repo != bindparam("exclude_repo"),
        _COLUMNS.stale.is_(False),
        _COLUMNS.embedding.is_not(None),
    )


@cached_statement
def owner_repos() -> Select[str]:
    """Select the other repositories of an owner with most live memories, ties by name.

    Binds: `tenant`, `owner`, `exclude_repo`.
    """
    most = select(_COLUMNS.repo).where(_live_of_others()).group_by(_COLUMNS.repo)
    return most.order_by(func.count().desc(), _COLUMNS.repo.collate("C")).limit(OWNER_REPOS)


@cached_statement
def nearest_for_owner(
    limit: int, where: FilterKey, *, distinct: bool, scan: Scan | None
) -> Select[Any]:
    """Select the nearest memories of an owner's other repositories, each with its fair share.

    Without `scan` all these memories are compared. With it, its candidates of the tenant's HNSW
    index are, unless they leave a repository without its share. `distinct` selects the nearest
    memory of each text and leaves out the texts in `excluded_texts`. Binds: `tenant`, `owner`,
    `exclude_repo`, `embedding`, `max_distance` and `excluded_texts`.
    """
    tenant = tenant_bind(LearningMemory)
    repos = owner_repos().cte("repos")
    share = (
        select(func.greatest(1, func.ceil(limit / func.count().cast(Float))))
        .select_from(repos)
        .scalar_subquery()
    )
    hashes = bindparam("excluded_texts", type_=ARRAY(LargeBinary))
    there = and_(
        _live_of_others(),
        where.met_by(LearningMemory),
        _COLUMNS.repo.in_(select(repos.c.repo)),
        _COLUMNS.text_hash != all_(hashes),
    )
    distance = distance_between(_COLUMNS.embedding, Distance.COSINE).label("distance")
    columns: list[ColumnElement[Any]] = [_COLUMNS.id, _COLUMNS.repo, _COLUMNS.text_hash, distance]
    compared = select(*columns).where(there)
    if scan is None:
        chosen = _by_turns(compared, share, limit, exact=True, distinct=distinct)
        rows = chosen.cte("ranked")
    else:
        near = materialized(through_index(LearningMemory, scan, there, _COLUMNS.repo), "near")
        indexed = materialized(
            _by_turns(select(near), share, limit, exact=False, distinct=distinct), "indexed"
        )
        full = select(func.count() >= literal_int(limit)).select_from(indexed).scalar_subquery()
        beyond = select(func.max(near.c.distance) > _FARTHEST).scalar_subquery()
        enough = or_(full, func.coalesce(beyond, false()))
        every = _by_turns(compared.where(not_(enough)), share, limit, exact=True, distinct=distinct)
        rows = union_all(select(indexed).where(enough), select(every.subquery("every"))).cte(
            "ranked"
        )
    return (
        select(
            *fields(LearningMemory),
            rows.c.distance.label("hit_distance"),
            func.row_number().over(order_by=(rows.c.distance, rows.c.id)).label("hit_vector_rank"),
            *(
                null().label(f"hit_{name}")
                for name in ("fused", "relevance", "keyword_rank", "terms")
            ),
            rows.c.exact.label("hit_exact"),
            false().label("hit_bounded"),
        )
        .join_from(rows, _TABLE, and_(tenant, _COLUMNS.id == rows.c.id))
        .order_by(rows.c.distance, rows.c.id)
    )


def _by_turns(
    compared: Select[Any], share: Any, limit: int, *, exact: bool, distinct: bool
) -> Select[Any]:
    """Select the nearest of the compared rows, of each repository no more than its share."""
    measured = compared.subquery("measured")
    if distinct:
        texts = first_of_each_text(measured, measured.c.distance, measured.c.id)
        measured = texts.subquery("texts")
    order = (measured.c.distance, measured.c.id)
    turn = func.row_number().over(partition_by=measured.c.repo, order_by=order).label("turn")
    in_turn = (
        select(measured.c.id, measured.c.distance, turn)
        .where(measured.c.distance <= _FARTHEST)
        .subquery("in_turn")
    )
    columns: list[ColumnElement[Any]] = [
        in_turn.c.id,
        in_turn.c.distance,
        literal(value=exact).label("exact"),
    ]
    return (
        select(*columns)
        .where(in_turn.c.turn <= share)
        .order_by(in_turn.c.distance, in_turn.c.id)
        .limit(literal_int(limit))
    )


def mark_stale(tenant: str, model: str, *, at_most: int | None) -> Update:
    """Mark the memories of every other model stale, unless they are already."""
    statement = update(LearningMemory).values(stale=True)
    others = (
        _COLUMNS.tenant == tenant,
        is_of_another_model(LearningMemory, model),
        _COLUMNS.stale.is_(False),
    )
    return statement.where(*first_rows(LearningMemory, at_most, *others)).execution_options(
        synchronize_session=False
    )


def add_up(pattern: GlobalPattern) -> ReturningInsert[Any]:
    """Insert the pattern, or add its count to the stored count; return the row with the sum."""
    values = {name: getattr(pattern, name) for name in (*PATTERN_KIND, "id", "count")}
    statement = insert(GlobalPattern.__table__).values(values)
    counted = GlobalPattern.__table__.c.count + statement.excluded.count
    return statement.on_conflict_do_update(
        index_elements=PATTERN_KIND, set_={"count": counted}
    ).returning(*fields(GlobalPattern))
