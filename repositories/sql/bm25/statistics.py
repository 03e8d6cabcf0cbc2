"""Statistics that BM25 needs of a tenant's rows: how many, how long, and how many with a term.

They are counted when a search needs them, and never stored: a stored figure is a row that all
writers update, or is wrong until a job runs. All figures come from the tenant's own rows, so a
score does not depend on other tenants. Large counts are estimated from a sample.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from domain.schema.tenant_lexemes import lexeme_key_sql
from domain.values.text_queries import MAX_QUERY_TERMS, MAX_RANKED_TERMS
from repositories.sql.bm25.access import TENANT, Access
from repositories.sql.bm25.sampling import further_sample, row_samples, rows_with_term

if TYPE_CHECKING:
    from domain.schema.base import Entity
    from domain.values.bm25 import Bm25

MAX_CANDIDATES: Final = 2_000
_FEWEST: Final = 500
_WORK: Final = 12_000
"""Rows that are ranked.

At most `MAX_CANDIDATES`, fewer the more words there are to look for in each.
"""

_ENOUGH: Final = 16
"""Rows of the sample with a term from which its frequency in all rows is estimated."""

_MANY_ROWS: Final = 50_000
"""Rows of a tenant above which more rows are sampled for a term that is in some of the sample.

There, counting the rows with such a term through the index takes longer.
"""

_LIKELY_ENOUGH: Final = 4
"""Rows of the sample with a term from which `_ENOUGH` are likely in four times as many rows."""

_COMPARISONS: Final = 12_000
"""Most comparisons of terms with rows of the sample, if the sample is not all rows."""


def corpus_statistics(entity: type[Entity], depth: int, access: Access) -> dict[str, str]:
    """Return the SQL of the common table expressions with the statistics, by name, in order.

    `words` are the query's lexemes with their weight, (k1 + 1) x times in the query x inverse
    document frequency; `bound` says how many rows may be ranked, `depth` at least; `average`
    relates a row's length to the mean. Binds: `tenant`, `query` and `language`.
    """
    counted = rows_with_term(entity, access) if access.by_index else "0.5 * terms.n / terms.every"
    more = {"more": further_sample(entity.__table__.name, access)} if access.by_index else {}
    return {
        **row_samples(entity, access),
        "query_terms": _QUERY_TERMS,
        "sampled": f"""
            SELECT terms.*, size.n, in_sample.rows AS rows_with, in_sample.every, size.complete
            FROM query_terms AS terms CROSS JOIN size CROSS JOIN LATERAL (
              SELECT count(*) FILTER (WHERE s.lexemes @@ terms.query) AS rows, count(*) AS every
              FROM sample AS s WHERE size.complete OR s.number <= {_COMPARISONS} / terms.words
            ) AS in_sample""",
        **more,
        "counted": f"""
            SELECT terms.*, least(terms.n, CASE WHEN terms.words = 1 THEN 1
              WHEN terms.complete THEN terms.rows_with
              WHEN terms.rows_with >= {_ENOUGH if access.by_index else 1}
                THEN terms.rows_with * terms.n / terms.every
              ELSE {counted} END
            ) AS df
            FROM {_sampled_more() if access.by_index else "sampled"} AS terms""",
        "words": f"""
            {_weighted(access.ranking)} FROM counted WHERE df > 0
            ORDER BY df, lexeme ~ '[0-9]', length(lexeme) DESC, lexeme LIMIT {MAX_RANKED_TERMS}""",
        "bound": f"""
            SELECT greatest({_FEWEST}, {depth},
              least({MAX_CANDIDATES}, {_WORK} / greatest(count(*), 1))) AS size
            FROM words""",
        "average": _average(access.ranking),
    }


def _sampled_more() -> str:
    """Return SQL for `sampled`, with the rows of `more` for terms that are likely in enough."""
    return f"""(
              SELECT sampled.lexeme, times, words, quoted, query, key, n, complete,
                rows_with + further.rows AS rows_with, sampled.every + further.every AS every
              FROM sampled CROSS JOIN LATERAL (
                SELECT count(*) FILTER (WHERE more.lexemes @@ sampled.query) AS rows,
                  count(*) AS every
                FROM more WHERE n > {_MANY_ROWS}
                  AND rows_with >= {_LIKELY_ENOUGH} AND rows_with < {_ENOUGH}) AS further)"""


def single_term_statistics(entity: type[Entity], access: Access) -> dict[str, str]:
    """Return the same for a query of one word, without a `bound`.

    `words` is empty if the word has several lexemes. The frequency of a single word does not
    change the order of rows.
    """
    return {
        **row_samples(entity, access),
        "query_terms": _QUERY_TERMS,
        "words": f"""
            {_weighted(access.ranking)}
            FROM (SELECT query_terms.*, n, least(n, 1) AS df FROM query_terms, size) AS counted
            WHERE words = 1 AND df > 0""",
        "average": _average(access.ranking),
    }


def quoted(lexeme: str) -> str:
    """Return SQL for a lexeme as `tsquery` reads it."""
    return f"'''' || replace(replace({lexeme}, E'\\\\', E'\\\\\\\\'), '''', '''''') || ''''"


_QUERY_TERMS: Final = f"""
    SELECT u.lexeme, cardinality(u.positions) AS times, count(*) OVER () AS words,
      {quoted("u.lexeme")} AS quoted, ({quoted("u.lexeme")})::tsquery AS query,
      {lexeme_key_sql(TENANT, "u.lexeme")} AS key
    FROM unnest(to_tsvector(CAST(:language AS regconfig), CAST(:query AS text))) AS u
    ORDER BY times, u.lexeme ~ '[0-9]', length(u.lexeme) DESC, u.lexeme LIMIT {MAX_QUERY_TERMS}"""


def _weighted(ranking: Bm25) -> str:
    return f"""
        SELECT quoted, lexeme, query, key, df, n,
          {ranking.k1 + 1!r} * times * ln(1 + (n - df + 0.5) / (df + 0.5)) AS term_weight"""


def _average(ranking: Bm25) -> str:
    return f"""
        SELECT {ranking.k1 * ranking.b!r} / greatest(avg(document_length), 1)::float8
            AS length_norm,
          {ranking.k1 * (1 - ranking.b)!r}::float8 AS least_norm
        FROM sample"""
