"""Statistics of a table and of query terms for BM25, counted or estimated, never stored.

No statistics table and no job: a common word's frequency is in the planner's own statistics, a rare
one's is counted through the GIN index, and where a count would be long it is extrapolated from the
place in the heap where it was given up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from domain.values.search import K1, B, Match
from domain.values.text_queries import MAX_QUERY_TERMS, MAX_RANKED_TERMS

if TYPE_CHECKING:
    from domain.schema.base import Entity

_COUNTED: Final = 1_000
_COUNTED_IN_ALL: Final = 40_000
"""Rows counted of a term before the rest is extrapolated; fewer, if there are many terms."""

_SAMPLED: Final = 200
"""Rows whose length is measured for the average."""


def document_length(vector: str) -> str:
    """Return SQL for the length of a document: how many different lexemes its vector has."""
    return f"length({vector})"


def corpus_statistics(entity: type[Entity], match: Match, depth: int) -> dict[str, str]:
    """Return the SQL of the common table expressions, by name, in order.

    The last three are `words`, `bound` and `average`. `words` are the query's lexemes with their
    weight, (k1 + 1) x times in the query x inverse document frequency; `bound` says how many rows
    may be ranked, `depth` at least; `average` relates a row's length to the mean.
    Binds: `query`, `language`, and for a web search `web`.
    """
    table = entity.__table__.name
    # A negated word is not in the tree of the query, and does not rank.
    in_tree = """
            WHERE strpos(querytree(websearch_to_tsquery(CAST(:language AS regconfig), :web)),
              terms.quoted) > 0"""
    return {
        "size": _size(table),
        "common": f"""
            SELECT s.most_common_elems::text::text[] AS elems, s.most_common_elem_freqs AS freqs
            FROM pg_stats AS s
            WHERE s.schemaname = current_schema() AND s.tablename = '{table}'
              AND s.attname = 'search_vector'""",
        "query_terms": _QUERY_TERMS,
        "counted": f"""
            SELECT terms.*, least(terms.n, CASE WHEN terms.words = 1 THEN 1 ELSE coalesce(
                (SELECT s.freqs[array_position(s.elems, terms.lexeme)] * terms.n FROM common AS s),
                (SELECT CASE WHEN count(*) < terms.counted_rows THEN count(*)
                   ELSE {_extrapolated("terms.pages")} END
                 FROM (SELECT ctid AS place FROM {table}
                       WHERE search_vector @@ terms.quoted::tsquery
                       LIMIT terms.counted_rows) AS hit)
              ) END) AS df
            FROM query_terms AS terms {in_tree if match is Match.WEB else ""}""",
        "words": f"""
            {_WEIGHTED} FROM counted WHERE df > 0
            ORDER BY df, lexeme ~ '[0-9]', length(lexeme) DESC, lexeme LIMIT {MAX_RANKED_TERMS}""",
        "bound": f"""
            SELECT greatest({_FEWEST}, {depth},
              least({MAX_CANDIDATES}, {_WORK} / greatest(count(*), 1))) AS size
            FROM words""",
        "average": _average(entity),
    }


def single_term_statistics(entity: type[Entity]) -> dict[str, str]:
    """Return the same for a query of one word, without a `bound`.

    `words` is empty if the word has several lexemes. The frequency of a single word changes no
    order, so it is not counted.
    """
    return {
        "size": _size(entity.__table__.name),
        "query_terms": _QUERY_TERMS,
        "words": f"""
            {_WEIGHTED} FROM (SELECT *, least(n, 1) AS df FROM query_terms) AS counted
            WHERE words = 1 AND df > 0""",
        "average": _average(entity),
    }


def quoted(lexeme: str) -> str:
    """Return SQL for a lexeme as `tsquery` reads it."""
    return f"'''' || replace(replace({lexeme}, E'\\\\', E'\\\\\\\\'), '''', '''''') || ''''"


MAX_CANDIDATES: Final = 2_000
_FEWEST: Final = 500
_WORK: Final = 12_000
"""Rows that are ranked.

At most `MAX_CANDIDATES`, fewer the more words there are to look for in each.
"""

_QUERY_TERMS: Final = f"""
    SELECT u.lexeme, cardinality(u.positions) AS times, count(*) OVER () AS words,
      size.n, size.pages,
      least({_COUNTED}, {_COUNTED_IN_ALL} / count(*) OVER ()) AS counted_rows,
      {quoted("u.lexeme")} AS quoted
    FROM unnest(to_tsvector(CAST(:language AS regconfig), CAST(:query AS text))) AS u
    CROSS JOIN size
    ORDER BY times, u.lexeme ~ '[0-9]', length(u.lexeme) DESC, u.lexeme LIMIT {MAX_QUERY_TERMS}"""
_WEIGHTED: Final = f"""
    SELECT quoted, lexeme, quoted::tsquery AS query, df, n,
      {K1 + 1} * times * ln(1 + (n - df + 0.5) / (df + 0.5)) AS term_weight"""


def _size(table: str) -> str:
    return f"""
        SELECT c.pages, CASE WHEN c.reltuples > 0
          THEN greatest(1, c.reltuples / greatest(c.relpages, 1) * c.pages)
          ELSE (SELECT CASE WHEN count(*) < {_COUNTED} THEN count(*)
                  ELSE {_extrapolated("c.pages")} END
                FROM (SELECT ctid AS place FROM {table} LIMIT {_COUNTED}) AS few) END::float8 AS n
        FROM (SELECT reltuples, relpages, pg_relation_size(oid) / 8192 AS pages
              FROM pg_class WHERE oid = '{table}'::regclass) AS c"""


def _average(entity: type[Entity]) -> str:
    table = entity.__table__.name
    # Few rows are all measured. The first rows are measured if the sample has none, because its
    # pages may have only deleted rows, or rows of other tenants that the server hides.
    length = document_length("s.search_vector")
    return f"""
        SELECT {K1 * B:.6g} / greatest(coalesce(
            CASE WHEN size.n > {_SAMPLED} THEN (SELECT avg(document_length) FROM (
              SELECT {length} AS document_length FROM {table} AS s
              TABLESAMPLE SYSTEM (least(100, 2000.0 / greatest(1, (SELECT pages FROM size))))
                REPEATABLE (1)
              LIMIT {_SAMPLED}
            ) AS sample) END,
            (SELECT avg(document_length)
             FROM (SELECT {length} AS document_length FROM {table} AS s LIMIT {_SAMPLED}) AS few)
          ), 1)::float8 AS length_norm
        FROM size"""


def _extrapolated(pages: str) -> str:
    # A bitmap scan hands rows over in heap order, so the last place tells which share of the table
    # was seen.
    return f"count(*) * {pages} / ((max(place)::text::point)[0] + 1)"
