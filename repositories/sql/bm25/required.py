"""The condition of a query: a row has all terms of one alternative, and none that it excludes.

`query_parameters` sends the spellings of all terms as JSON, and PostgreSQL makes lexemes of them. A
row has a term in one of its spellings: a compound by its words or as one word. Stop words are not
required. A compound of stop words alone, such as `is_on`, is required as one word if nothing else
is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from domain.schema.tenant_lexemes import lexeme_key_sql
from domain.values.search import Match
from repositories.sql.bm25.access import TENANT

if TYPE_CHECKING:
    from collections.abc import Mapping

_LANGUAGE: Final = "CAST(:language AS regconfig)"
_KEY: Final = lexeme_key_sql(TENANT, "u.lexeme")

_TERMS: Final = """
    SELECT alternative, term, excluded, count(*) > 1 AS respelled,
      bool_or(spelling = 0 AND numnode(query) > 0) AS has_words,
      string_agg('(' || query::text || ')', ' | ') FILTER (WHERE numnode(query) > 0) AS query
    FROM spellings GROUP BY alternative, term, excluded"""
_MET: Final = """
    SELECT * FROM (
      SELECT *, bool_or(has_words AND NOT excluded) OVER (PARTITION BY alternative) AS any_words
      FROM terms) AS t
    WHERE query IS NOT NULL AND (excluded OR has_words OR NOT any_words)"""
_REQUIRED: Final = """
    SELECT string_agg('(' || part || ')', ' | ')::tsquery AS query, count(*) AS alternatives
    FROM (
      SELECT string_agg(
          CASE WHEN excluded THEN '!' ELSE '' END || '(' || query || ')', ' & ') AS part
      FROM met GROUP BY alternative HAVING NOT bool_and(excluded)
    ) AS parts"""


def required_terms(match: Match) -> Mapping[str, str]:
    """Return the SQL of the common table expressions that end in `required`, by name, in order.

    `spellings` has the words of each term, and then its other spellings, as `tsquery`. `met` has
    what each term requires or excludes. `required` has the whole condition, which is NULL if
    nothing is required. Binds: `terms` and `language`.
    """
    if match is Match.ANY:
        return {}
    to_query = "phraseto_tsquery" if match is Match.WEB else "plainto_tsquery"
    return {
        "spellings": f"""
            SELECT t.*, {to_query}({_LANGUAGE}, t.text) AS query
            FROM jsonb_to_recordset(CAST(CAST(:terms AS text) AS jsonb))
              AS t(alternative int, term int, excluded bool, spelling int, text text)""",
        "terms": _TERMS,
        "met": _MET,
        "required": _REQUIRED,
    }


CHOSEN: Final = {
    "plain_words": f"""
        SELECT array_agg(DISTINCT {_KEY}) AS keys
        FROM met JOIN spellings AS s USING (alternative, term)
          CROSS JOIN LATERAL unnest(to_tsvector({_LANGUAGE}, s.text)) AS u
        WHERE NOT met.excluded AND NOT respelled""",
    # The term of each alternative that the fewest rows meet. These have all words of a spelling,
    # thus also the rarest. A long query has lexemes that are not counted.
    "selective": f"""
        SELECT DISTINCT ON (alternative) keys FROM (
          SELECT alternative, term, array_agg(rarest.key) AS keys, sum(rarest.df) AS df
          FROM met JOIN spellings AS s USING (alternative, term) CROSS JOIN LATERAL (
            SELECT {_KEY} AS key, coalesce(df, 'infinity') AS df
            FROM unnest(to_tsvector({_LANGUAGE}, s.text)) AS u LEFT JOIN counted USING (lexeme)
            ORDER BY df, lexeme LIMIT 1) AS rarest
          WHERE NOT met.excluded GROUP BY alternative, term) AS every
        ORDER BY alternative, df""",
    "chosen": """
        SELECT r.query AS part, NULL::tsquery AS earlier,
          (SELECT array_agg(DISTINCT key) FROM selective, unnest(keys) AS key) AS keys_any,
          CASE WHEN r.alternatives = 1 THEN coalesce(p.keys, '{}') ELSE '{}' END AS keys_all
        FROM required AS r CROSS JOIN plain_words AS p
        WHERE EXISTS (SELECT 1 FROM words)""",
}
"""The common table expressions that choose the rows of `required`, by name, in order.

The index finds rows with any of `keys_any`, which are of one term of each alternative, and with all
of `keys_all`, the plain words of a single one. These are compared with `part`.
"""
