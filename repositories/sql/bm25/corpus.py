"""What BM25 has to know of a table, and of the words that are asked for: counted or estimated,
never stored.

No statistics table and no job: a common word's frequency is in the planner's own statistics, a rare
one's is counted through the GIN index, and where a count would be long it is extrapolated from the
place in the heap where it was given up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from domain.schema.columns import split_compounds
from domain.values.search import Match

if TYPE_CHECKING:
    from domain.schema.base import Entity

K1: Final = 1.2
B: Final = 0.75
"""The constants of BM25 (Robertson and Zaragoza, "The Probabilistic Relevance Framework", 2009)."""

MAX_QUERY_CHARACTERS: Final = 1_000
MAX_WORDS: Final = 32
"""The words of a query that count, those that tell rows apart best.

Cost stays bounded whatever is asked.
"""

_COUNTED: Final = 1_000
"""Rows that are counted before the rest is extrapolated."""

_SAMPLED: Final = 200
"""Rows whose length is measured for the average."""


def document_length(entity: type[Entity], alias: str) -> str:
    """Return SQL for the length of a row's searched texts in bytes, which is known without reading them."""
    columns = entity.__table__.c
    texts = [name for name in ("content", "finding_text", "title", "summary") if name in columns]
    return "(" + " + ".join(f"coalesce(octet_length({alias}.{name}), 0)" for name in texts) + ")"


def corpus(entity: type[Entity], match: Match, depth: int) -> dict[str, str]:
    """Return the SQL of the common table expressions, by name, in order; they end in `words`,
    `bound` and `average`.

    `words` are the query's lexemes with their gain, (k1 + 1) x times in the query x inverse
    document frequency; `bound` says how many rows may be ranked, `depth` at least; `average`
    relates a row's length to the mean. Binds: `query`, `language`, and for a web search `web`.
    """
    table = entity.__table__.name
    # A query of negations alone asks for nothing: what is not indexed as wanted is no word to rank
    # by.
    wanted = "WHERE strpos(querytree(websearch_to_tsquery(CAST(:language AS regconfig), :web)), asked.quoted) > 0"
    return {
        "size": _size(table),
        "common": f"""
            SELECT s.most_common_elems::text::text[] AS elems, s.most_common_elem_freqs AS freqs FROM pg_stats AS s
            WHERE s.schemaname = current_schema() AND s.tablename = '{table}' AND s.attname = 'search_vector'""",
        "asked": _ASKED,
        "counted": f"""
            SELECT asked.*, least(asked.n, CASE WHEN asked.words = 1 THEN 1 ELSE coalesce(
                (SELECT s.freqs[array_position(s.elems, asked.lexeme)] * asked.n FROM common AS s),
                (SELECT CASE WHEN count(*) < {_COUNTED} THEN count(*) ELSE {_extrapolated("asked.pages")} END
                 FROM (SELECT ctid AS place FROM {table} WHERE search_vector @@ asked.quoted::tsquery LIMIT {_COUNTED}) AS hit)
              ) END) AS df
            FROM asked {wanted if match is Match.WEB else ""}""",
        "words": f"{_WEIGHED} FROM counted WHERE df > 0 ORDER BY gain DESC, lexeme LIMIT {MAX_WORDS}",
        "bound": f"""
            SELECT greatest({_FEWEST}, {depth}, least({MAX_CANDIDATES}, {_WORK} / greatest(count(*), 1))) AS size
            FROM words""",
        "average": _average(entity),
    }


def single_term_statistics(entity: type[Entity]) -> dict[str, str]:
    """Return the same for a query of one word, without a `bound`. There are no `words` where it is
    several lexemes.

    Without others to be told from, how frequent it is does not matter.
    """
    return {
        "size": _size(entity.__table__.name),
        "asked": _ASKED,
        "words": f"{_WEIGHED} FROM (SELECT *, least(n, 1) AS df FROM asked) AS counted WHERE words = 1 AND df > 0",
        "average": _average(entity),
    }


MAX_CANDIDATES: Final = 2_000
_FEWEST: Final = 500
_WORK: Final = 12_000
"""Rows that are ranked.

At most `MAX_CANDIDATES`, fewer the more words there are to look for in each.
"""

_ASKED: Final = f"""
    SELECT u.lexeme, cardinality(u.positions) AS times, count(*) OVER () AS words, size.n, size.pages,
      '''' || replace(replace(u.lexeme, E'\\\\', E'\\\\\\\\'), '''', '''''') || '''' AS quoted
    FROM unnest(to_tsvector(CAST(:language AS regconfig), {split_compounds("CAST(:query AS text)", MAX_QUERY_CHARACTERS)})) AS u
    CROSS JOIN size"""
_WEIGHED: Final = f"""
    SELECT quoted, lexeme, quoted::tsquery AS query, df, n, {K1 + 1} * times * ln(1 + (n - df + 0.5) / (df + 0.5)) AS gain"""


def _size(table: str) -> str:
    return f"""
        SELECT c.pages, CASE WHEN c.reltuples > 0 THEN greatest(1, c.reltuples / greatest(c.relpages, 1) * c.pages)
          ELSE (SELECT CASE WHEN count(*) < {_COUNTED} THEN count(*) ELSE {_extrapolated("c.pages")} END
                FROM (SELECT ctid AS place FROM {table} LIMIT {_COUNTED}) AS few) END::float8 AS n
        FROM (SELECT reltuples, relpages, pg_relation_size(oid) / 8192 AS pages
              FROM pg_class WHERE oid = '{table}'::regclass) AS c"""


def _average(entity: type[Entity]) -> str:
    table = entity.__table__.name
    # Of few rows all are measured, and so are the first where the sample holds none: its pages may
    # be full of rows that are gone, or of other tenants' that the server does not show.
    return f"""
        SELECT {K1 * B:.6g} / greatest(coalesce(
            CASE WHEN size.n > {_SAMPLED} THEN (SELECT avg(document_length) FROM (
              SELECT {document_length(entity, "s")} AS document_length FROM {table} AS s
              TABLESAMPLE SYSTEM (least(100, 2000.0 / greatest(1, (SELECT pages FROM size)))) REPEATABLE (1) LIMIT {_SAMPLED}
            ) AS sample) END,
            (SELECT avg(document_length) FROM (SELECT {document_length(entity, "s")} AS document_length FROM {table} AS s LIMIT {_SAMPLED}) AS few)
          ), 1)::float8 AS slope
        FROM size"""


def _extrapolated(pages: str) -> str:
    # A bitmap scan hands rows over in heap order, so the last place tells which share of the table
    # was seen.
    return f"count(*) * {pages} / ((max(place)::text::point)[0] + 1)"
