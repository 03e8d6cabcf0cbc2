"""Statistics that BM25 needs of a tenant's rows: how many, how long, and how many with a term.

They are counted when a search needs them, and never stored: a stored figure is a row that all
writers update, or is wrong until a job runs. All figures come from the tenant's own rows, so a
score does not depend on other tenants. Large counts are estimated from a sample. The order of
`text_hash`, a SHA-256, is random, and its index has the rows of a tenant side by side: the first
rows behind sixteen places of the index are a sample, and their distance tells how many there are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from domain.schema.tenant_lexemes import TENANT_KEY, keys_sql, lexeme_key_sql
from domain.values.bm25 import DEFAULT_BM25, Bm25
from domain.values.text_queries import MAX_QUERY_TERMS, MAX_RANKED_TERMS

if TYPE_CHECKING:
    from domain.schema.base import Entity

MAX_CANDIDATES: Final = 2_000
_FEWEST: Final = 500
_WORK: Final = 12_000
"""Rows that are ranked.

At most `MAX_CANDIDATES`, fewer the more words there are to look for in each.
"""

_PLACES: Final = 16
"""Places of the index on `text_hash` at which a sample is read. Copies of a text are adjacent."""

_ROWS_COUNTED: Final = 1_000
"""Rows of a tenant that are counted one by one.

A larger number is estimated from `_PER_PLACE` rows behind each place.
"""

_PER_PLACE: Final = 64

_TERM_ROWS_COUNTED: Final = 1_000
"""Rows with a term that are counted one by one."""

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

TENANT: Final = "CAST(:tenant AS text)"


@dataclass(frozen=True, slots=True)
class Access:
    """How the rows with a term are found, and ranked.

    Behind row-level security no index finds them, because PostgreSQL evaluates the policy first:
    then a large sample is read once, and terms are not counted one by one. The rows of a tenant
    that `owns_table`, or a large share of it, are found by the term alone: the list of the tenant's
    key has all its rows, and costs 25 ns for each. In `distributed` tables, Citus needs the
    condition on the tenant beside each table to find the node that has its rows.
    """

    by_index: bool = True
    owns_table: bool = False
    distributed: bool = False
    ranking: Bm25 = DEFAULT_BM25

    @property
    def sampled(self) -> int:
        """The number of rows in a sample. A tenant with fewer rows has all of them in it."""
        return 128 if self.by_index else 2_048


def document_length(vector: str) -> str:
    """Return SQL for the length of a document: how many different lexemes its vector has."""
    return f"length({vector})"


def corpus_statistics(entity: type[Entity], depth: int, access: Access) -> dict[str, str]:
    """Return the SQL of the common table expressions with the statistics, by name, in order.

    `words` are the query's lexemes with their weight, (k1 + 1) x times in the query x inverse
    document frequency; `bound` says how many rows may be ranked, `depth` at least; `average`
    relates a row's length to the mean. Binds: `tenant`, `query` and `language`.
    """
    counted = _counted(entity, access) if access.by_index else "0.5 * terms.n / terms.every"
    more = {"more": _more(entity.__table__.name, access)} if access.by_index else {}
    return {
        **_rows(entity, access),
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
        **_rows(entity, access),
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


def _rows(entity: type[Entity], access: Access) -> dict[str, str]:
    """Return `size`, the number of rows, and `sample`, some of them or all."""
    table, every = entity.__table__.name, access.sampled
    counted = max(_ROWS_COUNTED, every)
    # In the order of an index: the planner would read the table, and other tenants' rows.
    one_by_one = (
        f"SELECT 1 FROM {table} WHERE tenant = {TENANT} ORDER BY text_hash LIMIT {counted + 1}"
    )
    return {
        "first_rows": f"SELECT count(*) AS n FROM ({one_by_one}) AS f",
        "size": f"""
            SELECT CASE WHEN n <= {counted} THEN n ELSE greatest(n, {_estimated(table)})
              END::float8 AS n, n <= {every} AS complete
            FROM first_rows""",
        # `strip` also fetches a vector that is stored out of line, once for all terms. It is not in
        # the parts, which the server may sort with more rows than the sample has.
        "sample": f"""
            SELECT place, {document_length("search_vector")} AS document_length,
              strip(search_vector) AS lexemes, row_number() OVER () AS number FROM (
              (SELECT s.ctid AS place, s.search_vector FROM {table} AS s
               WHERE tenant = {TENANT} AND (SELECT complete FROM size)
               ORDER BY text_hash LIMIT {every})
              UNION ALL
              (SELECT behind.place, behind.search_vector FROM {_places()} CROSS JOIN LATERAL (
                 SELECT s.ctid AS place, s.search_vector, s.text_hash FROM {table} AS s
                 WHERE tenant = {TENANT} AND text_hash >= first AND NOT (SELECT complete FROM size)
                 ORDER BY text_hash LIMIT {every // _PLACES}) AS behind
               WHERE behind.text_hash < next)
            ) AS rows""",
    }


def _more(table: str, access: Access) -> str:
    """Return SQL for the rows behind those of the sample, of which it reads three times as many."""
    behind = access.sampled // _PLACES
    return f"""
        SELECT strip(rows.search_vector) AS lexemes FROM {_places()} CROSS JOIN LATERAL (
          SELECT s.search_vector, s.text_hash FROM {table} AS s
          WHERE tenant = {TENANT} AND text_hash >= first
          ORDER BY text_hash LIMIT {3 * behind} OFFSET {behind}) AS rows
        WHERE rows.text_hash < next"""


def _places() -> str:
    # Rows behind a place are those from `first` on. Those from `next` on are dropped after a LIMIT:
    # with both bounds the planner expects few rows, and reads all of a place to sort them.
    return f"""(SELECT i, set_byte('\\x00'::bytea, 0, i * {256 // _PLACES}) AS first,
        CASE WHEN i < {_PLACES - 1} THEN set_byte('\\x00'::bytea, 0, (i + 1) * {256 // _PLACES})
        ELSE decode(repeat('ff', 33), 'hex') END AS next
      FROM generate_series(0, {_PLACES - 1}) AS i) AS places"""


def _estimated(table: str) -> str:
    # The share of a place's hashes that the first `_PER_PLACE` rows take up.
    number = " + ".join(f"get_byte(last, {byte}) / 256.0 ^ {byte + 1}" for byte in range(4))
    share = f"greatest(({number}) * {_PLACES} - i, 1e-6)"
    return f"""(
        SELECT sum(CASE WHEN last IS NULL THEN rows ELSE {_PER_PLACE - 1} / ({share}) END)
        FROM {_places()} CROSS JOIN LATERAL (
          SELECT count(*) AS rows, (array_agg(text_hash))[{_PER_PLACE}] AS last FROM (
            SELECT text_hash FROM {table} WHERE tenant = {TENANT} AND text_hash >= first
            ORDER BY text_hash LIMIT {_PER_PLACE}) AS behind
          WHERE text_hash < next) AS counted)"""


def _counted(entity: type[Entity], access: Access) -> str:
    # A bitmap scan hands rows over in heap order, so the last place tells which share of the
    # tenant's rows was seen. `&&` and `@>` of one key say the same: with both, the planner expects
    # few rows, and does not also read the list of all rows of the tenant from another index. OFFSET
    # keeps the tenant out of it: before the first ANALYZE the planner expects few rows of a tenant,
    # and would compute and compare the keys of all of them for each word.
    keys = keys_sql("t.tenant", "t.search_vector")
    of_tenant = "" if access.owns_table else f"AND {keys} @> ARRAY[{TENANT_KEY} || {TENANT}]"
    has_key = f"{keys} && ARRAY[terms.key] AND {keys} @> ARRAY[terms.key] {of_tenant}"
    table = f"{entity.__table__.name} AS t"
    with_term = f"""
        SELECT place FROM (SELECT t.ctid AS place, t.tenant FROM {table}
          WHERE {has_key} OFFSET 0) AS with_term
        WHERE tenant = {TENANT}"""
    if access.distributed:
        with_term = f"SELECT t.ctid AS place FROM {table} WHERE t.tenant = {TENANT} AND {has_key}"
    return f"""(
        SELECT CASE WHEN count(*) < {_TERM_ROWS_COUNTED} THEN count(*) ELSE
          count(*) * (SELECT count(*) FROM sample)::float8 / greatest(1,
            (SELECT count(*) FROM sample WHERE sample.place <= max(hits.place))) END
        FROM ({with_term} LIMIT {_TERM_ROWS_COUNTED}) AS hits)"""
