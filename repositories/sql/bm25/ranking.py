"""BM25 over weighted fields, for a bounded number of candidates.

Term frequencies are `ts_rank_cd` of one word, which is the weighted number of its occurrences; the
cheaper `ts_rank` of one word inverts to about the same and picks the rows that are worth the exact
figure. Candidates are chosen by the rarest words first, so that a word in half of the rows costs no
more than the bound.
"""

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
    literal,
    literal_column,
    null,
    select,
    table,
    text,
    true,
    union_all,
)
from sqlalchemy.dialects.postgresql import ARRAY, TSQUERY, TSVECTOR

from domain.values.search import Match
from domain.values.text_queries import read_query, read_web_query, websearch_syntax
from repositories.sql.bm25.candidates import has_lexemes, parts_of_query
from repositories.sql.bm25.corpus import Access, corpus_statistics, document_length
from repositories.sql.rows import tenant_bind
from repositories.sql.vector import first_of_each_text, literal_int

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import FromClause

    from domain.schema.base import Entity
    from domain.values.bm25 import Bm25

_ROUGH: Final = """(SELECT sum(w.term_weight * w.r / (w.r + (1 - w.r) * c.norm / 0.645))
  FROM (SELECT term_weight, ts_rank('{1,1,1,1}', c.vec, query) AS r FROM words OFFSET 0) AS w)"""
_POSSIBLE: Final = literal_column("(SELECT sum(term_weight) FROM words)", Float())
_BOUND: Final = literal_column("(SELECT size FROM bound)", Integer())
_TERMS: Final = (
    "(SELECT array_agg(w.lexeme ORDER BY w.lexeme) FROM words AS w WHERE c.vec @@ w.query)"
)

LIKELY: Final = 50
"""Rows that are ranked exactly, unless more are asked for."""


def matching(
    entity: type[Entity],
    match: Match,
    condition: ColumnElement[bool] | None,
    *,
    limit: int,
    access: Access,
    explain: bool = False,
    distinct: bool = False,
) -> CTE:
    """Return the tenant's rows that match best: ids, relevance, ranks and matched lexemes.

    The relevance is BM25's sum, and ties are in the order of ids. Nothing in the query raises;
    without a word that counts it matches nothing. `explain` fills the lexemes. `distinct`
    selects the best row of each text; the columns `text_hash` and `bounded`, which is true if the
    candidates did not include all matches, are then filled. `possible` is the most relevance that
    a row can have. Binds: `tenant` and the names that `query_parameters` returns.
    """
    parts = prepared(
        {**corpus_statistics(entity, match, limit, access), **parts_of_query(match, access)}
    )
    there = and_(tenant_bind(entity), true() if condition is None else condition)
    candidates = _candidates_of(entity, match, there, access, distinct=distinct)
    likely = _likely(candidates, limit, distinct=distinct)
    near = _near(entity, match, there, likely, limit, access, distinct=distinct)
    statement = best(near, limit=limit, ranking=access.ranking, explain=explain)
    bounded: ColumnElement[bool] = literal(value=False)
    if distinct:
        read = select(func.count()).select_from(candidates).scalar_subquery()
        bounded = read >= _BOUND
    return (
        statement.add_columns(bounded.label("bounded"), _POSSIBLE.label("possible"))
        .add_cte(*parts)
        .cte("keyword")
    )


def _exact(ranking: Bm25) -> str:
    """Return SQL for the relevance of a row. `ts_rank_cd` takes weights up to 1."""
    largest = max(ranking.title, ranking.summary, 1.0)
    weights = ",".join(f"{ranking.weight(label) / largest:.8f}" for label in "DCBA")
    norm = f"c.norm / {largest!r}"
    return f"""(SELECT sum(w.term_weight * (1 - {norm} /
          (ts_rank_cd('{{{weights}}}', c.vec, w.query) + {norm})))
        FROM words AS w)"""


def best(near: FromClause, *, limit: int, ranking: Bm25, explain: bool) -> Select[Any]:
    """Return id, relevance, rank and lexemes of those that match the `words` best.

    `near`, as "c", has ids, `vec` and `norm`.
    """
    relevance = literal_column(_exact(ranking), Float()).label("relevance")
    terms = literal_column(_TERMS if explain else "NULL::text[]", ARRAY(Text())).label("terms")
    ranked = select(near.c.id, relevance, terms)
    if "text_hash" in near.c:
        measured = ranked.add_columns(near.c.text_hash).subquery("measured")
        order = (measured.c.relevance.desc(), measured.c.id)
        texts = first_of_each_text(measured, *order).subquery("texts")
        ranked = select(*texts.c)
    columns = ranked.selected_columns
    exact = (
        ranked.order_by(columns.relevance.desc(), columns.id).limit(literal_int(limit)).cte("exact")
    )
    rank = func.row_number().over(order_by=(exact.c.relevance.desc(), exact.c.id)).label("rank")
    text_hash = exact.c.text_hash if "text_hash" in exact.c else null()
    columns_of_hits: list[ColumnElement[Any]] = [
        exact.c.id,
        exact.c.relevance,
        rank,
        exact.c.terms,
        text_hash.label("text_hash"),
    ]
    return select(*columns_of_hits)


def query_parameters(query: str, match: Match, language: str) -> dict[str, str]:
    """Return the values of the binds that a search with `match` has."""
    if match is Match.WEB:
        alternatives = read_web_query(query)
        ranked = " ".join(
            term.words for terms in alternatives for term in terms if not term.excluded
        )
        values = {
            "query": ranked,
            "web": websearch_syntax(alternatives),
            "required": ranked if len(alternatives) == 1 else "",
        }
    else:
        text = read_query(query)
        values = {"query": text.all}
        if match is Match.ALL:
            values["required"] = text.words
    return {**values, "language": language}


def prepared(parts: Mapping[str, str]) -> list[CTE]:
    """Return the common table expressions for these names and their SQL."""
    return [materialized(text(sql).columns(), name) for name, sql in parts.items()]


def materialized(statement: Any, name: str) -> CTE:
    """Return the statement under a name, executed once and planned by itself."""
    cte: CTE = statement.cte(name)
    return cte.prefix_with("MATERIALIZED", dialect="postgresql")


def norm(vector: str) -> ColumnElement[float]:
    """Return what BM25 weighs the length of a document by; it needs `average`."""
    length = document_length(vector)
    return literal_column(
        f"(SELECT least_norm FROM average) + (SELECT length_norm FROM average) * {length}", Float()
    ).label("norm")


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
    v = candidates.limit(_BOUND).subquery("v")
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
        conditions.append(has_lexemes(entity, keys_any=chosen.c.keys_any, keys_all=keys_all))
    if match is Match.WEB or not access.by_index:
        conditions.append(vector.bool_op("@@")(chosen.c.part))
    if has_all and match is Match.ANY:
        conditions.append(vector.bool_op("@@")(chosen.c.earlier).is_not(true()))
    rows = _candidates(entity, and_(*conditions), distinct=distinct).lateral("rows")
    columns: list[ColumnElement[Any]] = list(rows.c)
    selected = select(*columns).select_from(chosen.join(rows, true()))
    if match is Match.ANY and access.by_index:
        selected = selected.where(
            chosen.c.keys_all.is_not(None) if has_all else chosen.c.keys_all.is_(None)
        )
    return selected


def _candidates_of(
    entity: type[Entity],
    match: Match,
    there: ColumnElement[bool],
    access: Access,
    *,
    distinct: bool,
) -> FromClause:
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


def _likely(candidates: Any, limit: int, *, distinct: bool) -> CTE:
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


def _near(
    entity: type[Entity],
    match: Match,
    there: ColumnElement[bool],
    likely: CTE,
    limit: int,
    access: Access,
    *,
    distinct: bool,
) -> Any:
    """Return what is ranked exactly.

    The likely rows, and others with any word where a selective filter left too few.
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
