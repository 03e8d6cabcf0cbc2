"""The rows that a keyword search ranks: parts of the query, each a condition on a row's keys.

`chosen` has one row for each part. A row has any of `keys_any`, and all of `keys_all` unless that
is NULL. `part` says the same as a `tsquery`, and `earlier` has the parts before it. `remaining` is
a part of all words, for a filter that leaves too few rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import ColumnElement, Text, and_, bindparam, literal_column
from sqlalchemy.dialects.postgresql import ARRAY, array

from domain.schema.tenant_lexemes import TENANT_KEY, keys_sql
from domain.values.search import Match
from repositories.sql.bm25.access import Access
from repositories.sql.bm25.required import CHOSEN

if TYPE_CHECKING:
    from collections.abc import Mapping

    from domain.schema.base import Entity

# Rarest words first until their rows fill the bound; then a common word beside any commoner one;
# then the next word alone. Columns of `ranked`, for a word: `reach` is the number of rows of it and
# of all rarer words; `others` and `other_keys` are the commoner words; `share` is the expected
# share of rows with any of those. Columns of `parts`: `level` is 1, 2 or 3 for these three kinds,
# `expected` the number of rows of the part, `before` that of all cheaper parts.
_PARTS: Final = {
    "ranked": """
        SELECT w.*, sum(df) OVER rarest AS reach, string_agg(quoted, ' | ') OVER commoner AS others,
          array_agg(key) OVER commoner AS other_keys,
          1 - exp(coalesce(sum(ln(greatest(1 - df / n, 1e-9))) OVER commoner, 0)) AS share
        FROM words AS w WINDOW rarest AS (ORDER BY df, lexeme),
          commoner AS (
            ORDER BY df DESC, lexeme DESC ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)""",
    "parts": """
        SELECT part, keys_any, keys_all, expected, row_number() OVER cheapest AS step,
          sum(expected) OVER cheapest - expected AS before
        FROM (
          SELECT 1 AS level, 0::float8 AS reach, string_agg(quoted, ' | ') AS part,
            array_agg(key) AS keys_any, NULL::text[] AS keys_all, sum(df) AS expected
          FROM ranked, bound WHERE ranked.reach <= bound.size HAVING count(*) > 0
          UNION ALL
          SELECT 2, reach, '(' || quoted || ' & (' || others || '))', other_keys, ARRAY[key],
            df * share
          FROM ranked, bound WHERE reach > bound.size AND others IS NOT NULL
          UNION ALL
          SELECT 3, reach, quoted, ARRAY[key], ARRAY[key], df
          FROM ranked, bound WHERE reach > bound.size
        ) AS p WINDOW cheapest AS (ORDER BY level, p.reach)""",
}
_ANY: Final = {
    **_PARTS,
    "chosen": """
        SELECT part::tsquery AS part, keys_any, keys_all,
          (string_agg(part, ' | ') OVER (
            ORDER BY step ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING))::tsquery AS earlier
        FROM parts, bound WHERE before < bound.size ORDER BY step""",
    "remaining": """
        SELECT string_agg(quoted, ' | ')::tsquery AS part, array_agg(key) AS keys_any,
          NULL::text[] AS keys_all, NULL::tsquery AS earlier
        FROM words""",
}
# Behind row-level security the tenant's rows are read once for all parts.
_ANY_BY_ROWS: Final = {
    **_PARTS,
    "chosen": """
        SELECT string_agg(part, ' | ')::tsquery AS part, NULL::tsquery AS earlier
        FROM parts, bound WHERE before < bound.size""",
    "remaining": """
        SELECT string_agg(quoted, ' | ')::tsquery AS part, NULL::tsquery AS earlier FROM words""",
}


def parts_of_query(match: Match, access: Access) -> Mapping[str, str]:
    """Return the SQL of the common table expressions that end in `chosen`, by name, in order."""
    if match is Match.ANY:
        return _ANY if access.by_index else _ANY_BY_ROWS
    return CHOSEN


def has_lexemes(
    entity: type[Entity],
    access: Access,
    *,
    keys_any: ColumnElement[Any],
    keys_all: ColumnElement[Any] | None,
) -> ColumnElement[bool]:
    """Return the condition on a row's keys, which the GIN index evaluates.

    The planner has statistics for the key of the tenant. It does not know the other keys, and
    expects one row in a hundred with any of them, and one in two hundred with all.
    """
    name = entity.__table__.name
    keys = literal_column(keys_sql(f"{name}.tenant", f"{name}.search_vector"), ARRAY(Text()))
    conditions = [keys.bool_op("&&")(keys_any)]
    if not access.owns_table:
        tenant = literal_column(TENANT_KEY, Text()).op("||")(bindparam("tenant", type_=Text()))
        conditions.append(keys.bool_op("@>")(array([tenant])))
    if keys_all is not None:
        conditions.append(keys.bool_op("@>")(keys_all))
    return and_(*conditions)
