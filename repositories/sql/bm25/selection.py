"""The rows that a keyword search ranks exactly, chosen by a rough figure from its candidates."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import (
    CTE,
    ColumnElement,
    Float,
    Integer,
    Select,
    Text,
    and_,
    column,
    func,
    literal_column,
    select,
    table,
    true,
    union_all,
)
from sqlalchemy.dialects.postgresql import ARRAY, TSQUERY, TSVECTOR

from domain.values.search import Match
from repositories.sql.bm25.access import Access
from repositories.sql.bm25.candidates import has_lexemes
from repositories.sql.bm25.sampling import document_length
from repositories.sql.ctes import materialized
from repositories.sql.vector import first_of_each_text, literal_int

if TYPE_CHECKING:
    from sqlalchemy import FromClause

    from domain.schema.base import Entity

_ROUGH: Final = """(SELECT sum(w.term_weight * w.r / (w.r + (1 - w.r) * c.norm / 0.645))
  FROM (SELECT term_weight, ts_rank('{1,1,1,1}', c.vec, query) AS r FROM words OFFSET 0) AS w)"""
BOUND: Final = literal_column("(SELECT size FROM bound)", Integer())

LIKELY: Final = 50
"""Rows that are ranked exactly, unless more are asked for."""


def _candidates(
    entity: type[Entity], condition: ColumnElement[bool], *, distinct: bool
) -> Select[Any]:
    columns = entity.__table__.c
    # Under a LIMIT, so that a lexeme vector kept out of line is fetched once for all words.
    vector = func.ts_delete(columns.search_vector, "", type_=TSVECTOR()).label("vec")
    chosen: list[ColumnElement[Any]] = [columns.id, vector]
    if distinct:
        chosen.append(columns.text_hash)
    return select(*chosen).where(condition)


def _bounded(candidates: Any) -> Select[Any]:
    """Return as many candidates as are ranked, with `norm`."""
    v = candidates.limit(BOUND).subquery("v")
    columns: list[ColumnElement[Any]] = [*v.c, norm("v.vec")]
    return select(*columns)


def _chosen(name: str) -> FromClause:
    columns = (column("part", TSQUERY), column("earlier", TSQUERY))
    return table(
        name, *columns, column("keys_any", ARRAY(Text())), column("keys_all", ARRAY(Text()))
    )


def _rows_of(
    entity: type[Entity],
    match: Match,
    chosen: FromClause,
    there: ColumnElement[bool],
    access: Access,
    *,
    has_all: bool,
    distinct: bool,
) -> Select[Any]:
    """Select the rows that match each row of `chosen`, and none before it, in its order."""
    conditions = [there]
    vector = entity.__table__.c.search_vector
    if access.by_index:
        keys_all = chosen.c.keys_all if has_all else None
        conditions.append(
            has_lexemes(entity, access, keys_any=chosen.c.keys_any, keys_all=keys_all)
        )
    if match is not Match.ANY or not access.by_index:
        conditions.append(vector.bool_op("@@")(chosen.c.part))
    if has_all and match is Match.ANY:
        conditions.append(vector.bool_op("@@")(chosen.c.earlier).is_not(true()))
    # OFFSET keeps the keys a condition of the index. For a tenant with a small share of the table
    # the planner would read all its rows, and compute and compare the keys of each.
    candidates = _candidates(entity, and_(*conditions), distinct=distinct).offset(literal_int(0))
    rows = candidates.lateral("rows")
    columns: list[ColumnElement[Any]] = list(rows.c)
    selected = select(*columns).select_from(chosen.join(rows, true()))
    if match is Match.ANY and access.by_index:
        selected = selected.where(
            chosen.c.keys_all.is_not(None) if has_all else chosen.c.keys_all.is_(None)
        )
    return selected


def candidates_of(
    entity: type[Entity],
    match: Match,
    there: ColumnElement[bool],
    access: Access,
    *,
    distinct: bool,
) -> FromClause:
    """Return as many of the rows in `chosen` as may be ranked, as "c"; a CTE if `distinct`."""
    chosen = _chosen("chosen")
    rows: Any = _rows_of(
        entity,
        match,
        chosen,
        there,
        access,
        has_all=match is not Match.ANY,
        distinct=distinct,
    )
    if match is Match.ANY and access.by_index:
        # One bound over both: with one for each as well the planner expects a hundredth of the
        # rows, and scans the table for them.
        pairs = _rows_of(entity, match, chosen, there, access, has_all=True, distinct=distinct)
        rows = union_all(rows.subquery().select(), pairs.subquery().select())
    bounded = _bounded(rows)
    return materialized(bounded, "candidates") if distinct else bounded.subquery("c")


def likely_of(candidates: Any, limit: int, *, distinct: bool) -> CTE:
    """Return the candidates that a rough figure ranks best; with `distinct` one of each text."""
    c = candidates.alias("c") if distinct else candidates
    score = literal_column(_ROUGH, Float()).label("score")
    scored_columns: list[ColumnElement[Any]] = [*c.c, score]
    statement = select(*scored_columns)
    if distinct:
        scored = statement.subquery("scored")
        first = first_of_each_text(scored, scored.c.score.desc(), scored.c.id).subquery("firsts")
        statement = select(*first.c)
    columns = statement.selected_columns
    statement = statement.order_by(columns.score.desc(), columns.id)
    return materialized(statement.limit(literal_int(max(LIKELY, 2 * limit))), "likely")


def near_of(
    entity: type[Entity],
    match: Match,
    there: ColumnElement[bool],
    likely: CTE,
    limit: int,
    access: Access,
    *,
    distinct: bool,
) -> Any:
    """Return the rows that are ranked exactly.

    They are the likely rows. If a selective filter leaves too few of them, other rows with any word
    of the query follow.
    """
    names = ("id", "vec", "norm", "text_hash") if distinct else ("id", "vec", "norm")
    enough = select(*(likely.c[name] for name in names))
    if match is not Match.ANY:
        return enough.subquery("c")
    too_few = select(func.count() < literal_int(limit)).select_from(likely).scalar_subquery()
    columns = entity.__table__.c
    new = (
        columns.text_hash.not_in(select(likely.c.text_hash))
        if distinct
        else columns.id.not_in(select(likely.c.id))
    )
    remaining = _rows_of(
        entity,
        match,
        _chosen("remaining"),
        and_(too_few, new, there),
        access,
        has_all=False,
        distinct=distinct,
    )
    far = _bounded(remaining).subquery("c")
    scored = select(
        *(far.c[name] for name in names), literal_column(_ROUGH, Float()).label("score")
    )
    if distinct:
        rows = scored.subquery("scored")
        scored = first_of_each_text(rows, rows.c.score.desc(), rows.c.id)
    ordered = scored.subquery("ordered")
    more = select(*(ordered.c[name] for name in names)).order_by(
        ordered.c.score.desc(), ordered.c.id
    )
    more = more.limit(literal_int(limit))
    return union_all(enough, more.subquery().select()).subquery("c")


def norm(vector: str) -> ColumnElement[float]:
    """Return what BM25 weighs the length of a document by; it needs `average`."""
    length = document_length(vector)
    return literal_column(
        f"(SELECT least_norm FROM average) + (SELECT length_norm FROM average) * {length}", Float()
    ).label("norm")
