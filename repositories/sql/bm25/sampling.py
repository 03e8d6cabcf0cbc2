"""Counts of a tenant's rows, and of those with a term: exact up to a bound, then from a sample.

The order of `text_hash`, a SHA-256, is random, and its index has the rows of a tenant side by side:
the first rows behind sixteen places of the index are a sample, and their distance tells how many
there are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from domain.schema.tenant_lexemes import TENANT_KEY, keys_sql
from repositories.sql.bm25.access import TENANT, Access

if TYPE_CHECKING:
    from domain.schema.base import Entity

_PLACES: Final = 16
"""Places of the index on `text_hash` at which a sample is read. Copies of a text are adjacent."""

_ROWS_COUNTED: Final = 1_000
"""Rows of a tenant that are counted one by one.

A larger number is estimated from `_PER_PLACE` rows behind each place.
"""

_PER_PLACE: Final = 64

_TERM_ROWS_COUNTED: Final = 1_000
"""Rows with a term that are counted one by one."""


def document_length(vector: str) -> str:
    """Return SQL for the length of a document: how many different lexemes its vector has."""
    return f"length({vector})"


def row_samples(entity: type[Entity], access: Access) -> dict[str, str]:
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


def further_sample(table: str, access: Access) -> str:
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


def rows_with_term(entity: type[Entity], access: Access) -> str:
    """Return SQL for the number of rows with the key of `terms`, which the GIN index finds.

    A bitmap scan returns rows in the order of the table. The place of the last row counted shows
    which share of the tenant's rows was read.
    """
    return f"""(
        SELECT CASE WHEN count(*) < {_TERM_ROWS_COUNTED} THEN count(*) ELSE
          count(*) * (SELECT count(*) FROM sample)::float8 / greatest(1,
            (SELECT count(*) FROM sample WHERE sample.place <= max(hits.place))) END
        FROM ({_places_with_term(entity, access)} LIMIT {_TERM_ROWS_COUNTED}) AS hits)"""


def _places_with_term(entity: type[Entity], access: Access) -> str:
    table, keys = f"{entity.__table__.name} AS t", keys_sql("t.tenant", "t.search_vector")
    # `&&` and `@>` of one key say the same. With both, the planner expects few rows, and does not
    # also read the list of all rows of the tenant from another index.
    has_key = f"{keys} && ARRAY[terms.key] AND {keys} @> ARRAY[terms.key]"
    if not access.owns_table:
        has_key = f"{has_key} AND {keys} @> ARRAY[{TENANT_KEY} || {TENANT}]"
    if access.distributed:
        return f"SELECT t.ctid AS place FROM {table} WHERE t.tenant = {TENANT} AND {has_key}"
    # OFFSET keeps the tenant out of the condition. Before the first ANALYZE, the planner expects
    # few rows of a tenant, and would compute and compare the keys of all of them for each word.
    return f"""
        SELECT place FROM (SELECT t.ctid AS place, t.tenant FROM {table}
          WHERE {has_key} OFFSET 0) AS with_term
        WHERE tenant = {TENANT}"""
