"""BM25 for a query of one word.

Most of what a search for a rare word costs is the planning of what tells words apart.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import (
    CTE,
    ColumnElement,
    Float,
    Text,
    and_,
    literal_column,
    null,
    select,
    text,
    true,
    union_all,
)
from sqlalchemy.dialects.postgresql import ARRAY, TSQUERY

from domain.values.text_queries import MAX_QUERY_CHARACTERS, read_query
from repositories.sql.bm25.access import Access
from repositories.sql.bm25.candidates import has_lexemes
from repositories.sql.bm25.ranking import best, prepared
from repositories.sql.bm25.selection import LIKELY, norm
from repositories.sql.bm25.statistics import MAX_CANDIDATES, single_term_statistics
from repositories.sql.ctes import materialized
from repositories.sql.rows import tenant_bind
from repositories.sql.vector import literal_int

if TYPE_CHECKING:
    from domain.schema.base import Entity

_WORD: Final = literal_column("(SELECT query FROM words)", TSQUERY())
_KEYS_ANY: Final = literal_column("(SELECT ARRAY[key] FROM words)", ARRAY(Text()))
# Puts rows in the order in which the rough figure of `matching` does, with one call for each; a row
# that matches has a rank.
_UNLIKELY: Final = literal_column(
    "c.norm * (1 / ts_rank('{1,1,1,1}', c.vec, (SELECT query FROM words)) - 1)", Float()
)


def is_one_word(query: str) -> bool:
    """Return whether the query is one word in one spelling, which usually has one lexeme."""
    word = query.strip()
    return (
        len(word) <= MAX_QUERY_CHARACTERS
        and word.isalpha()
        and len(read_query(word).terms) == 1
        and (word.islower() or word.istitle() or word.isupper())
    )


def single_term_matches(
    entity: type[Entity],
    condition: ColumnElement[bool] | None,
    *,
    limit: int,
    access: Access,
    explain: bool = False,
) -> CTE:
    """Return what `matching` returns for any word of a query that `is_one_word`.

    If a dictionary makes several lexemes of it, the result is one row without an id.
    """
    columns = entity.__table__.c
    there = and_(
        has_lexemes(entity, access, keys_any=_KEYS_ANY, keys_all=None)
        if access.by_index
        else columns.search_vector.bool_op("@@")(_WORD),
        tenant_bind(entity),
        true() if condition is None else condition,
    )
    some: list[ColumnElement[Any]] = [columns.id, columns.search_vector.label("vec")]
    bounded = select(*some).where(there).limit(literal_int(max(MAX_CANDIDATES, limit)))
    v = bounded.subquery("v")
    c = select(v.c.id, v.c.vec, norm("v.vec")).subquery("c")
    likely = materialized(
        select(c).order_by(_UNLIKELY, c.c.id).limit(literal_int(max(LIKELY, 2 * limit))), "likely"
    )
    nothing: list[ColumnElement[Any]] = [null()] * 5
    several = select(*nothing).where(text("(SELECT max(words) FROM query_terms) > 1"))
    ranked = union_all(
        best(likely.alias("c"), limit=limit, ranking=access.ranking, explain=explain), several
    )
    return ranked.add_cte(*prepared(single_term_statistics(entity, access))).cte("keyword")
