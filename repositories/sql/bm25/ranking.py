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
    Select,
    Text,
    and_,
    func,
    literal,
    literal_column,
    null,
    select,
    text,
    true,
)
from sqlalchemy.dialects.postgresql import ARRAY

from domain.values.jsonb import dumps
from domain.values.search import Match
from domain.values.text_queries import QueryTerm, read_query, read_web_query
from repositories.sql.bm25.access import Access
from repositories.sql.bm25.candidates import parts_of_query
from repositories.sql.bm25.required import required_terms
from repositories.sql.bm25.selection import (
    BOUND,
    candidates_of,
    likely_of,
    near_of,
)
from repositories.sql.bm25.statistics import corpus_statistics
from repositories.sql.ctes import materialized
from repositories.sql.rows import tenant_bind
from repositories.sql.vector import first_of_each_text, literal_int

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import FromClause

    from domain.schema.base import Entity
    from domain.values.bm25 import Bm25

_POSSIBLE: Final = literal_column("(SELECT sum(term_weight) FROM words)", Float())
_TERMS: Final = (
    "(SELECT array_agg(w.lexeme ORDER BY w.lexeme) FROM words AS w WHERE c.vec @@ w.query)"
)


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
        {
            **required_terms(match),
            **corpus_statistics(entity, limit, access),
            **parts_of_query(match, access),
        }
    )
    there = and_(tenant_bind(entity), true() if condition is None else condition)
    candidates = candidates_of(entity, match, there, access, distinct=distinct)
    likely = likely_of(candidates, limit, distinct=distinct)
    near = near_of(entity, match, there, likely, limit, access, distinct=distinct)
    statement = best(near, limit=limit, ranking=access.ranking, explain=explain)
    bounded: ColumnElement[bool] = literal(value=False)
    if distinct:
        read = select(func.count()).select_from(candidates).scalar_subquery()
        bounded = read >= BOUND
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
    values = {"language": language}
    if match is Match.WEB:
        alternatives = read_web_query(query)
        ranked = (term for terms in alternatives for term in terms if not term.excluded)
        values["query"] = " ".join(
            text for term in ranked for text in (term.words, *term.spellings)
        )
        values["terms"] = _terms(alternatives)
    else:
        text = read_query(query)
        values["query"] = text.all
        if match is Match.ALL:
            values["terms"] = _terms([text.terms])
    return values


def _terms(alternatives: Sequence[Sequence[QueryTerm]]) -> str:
    return dumps(
        [
            {
                "alternative": number,
                "term": place,
                "excluded": term.excluded,
                "spelling": spelling,
                "text": text,
            }
            for number, terms in enumerate(alternatives)
            for place, term in enumerate(terms)
            for spelling, text in enumerate((term.words, *term.spellings))
        ]
    )


def prepared(parts: Mapping[str, str]) -> list[CTE]:
    """Return the common table expressions for these names and their SQL."""
    return [materialized(text(sql).columns(), name) for name, sql in parts.items()]
