"""The condition of a query: a row has all terms of one alternative, and none that it excludes.

`query_parameters` sends the terms as JSON, and PostgreSQL makes lexemes of them. A compound is met
by its words or by itself as one word. Stop words are not required. A compound of stop words alone,
such as `is_on`, is required as one word if nothing else is.
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

_MET: Final = """
    SELECT alternative, excluded, text, compound, CASE
        WHEN excluded OR numnode(words) > 0 OR NOT bool_or(
          numnode(words) > 0 AND NOT excluded) OVER (PARTITION BY alternative)
        THEN words || whole ELSE '' END AS query
    FROM terms"""
_REQUIRED: Final = """
    SELECT string_agg('(' || part || ')', ' | ')::tsquery AS query, count(*) AS alternatives
    FROM (
      SELECT string_agg(
          CASE WHEN excluded THEN '!' ELSE '' END || '(' || query || ')', ' & ') AS part
      FROM met WHERE numnode(query) > 0 GROUP BY alternative HAVING NOT bool_and(excluded)
    ) AS parts"""


def required_terms(match: Match) -> Mapping[str, str]:
    """Return the SQL of the common table expressions that end in `required`, by name, in order.

    `terms` has the words of each term and its compound as `tsquery`, `met` what each requires or
    excludes. `required` has the whole condition, which is NULL if nothing is required. Binds:
    `terms` and `language`.
    """
    if match is Match.ANY:
        return {}
    to_query = "phraseto_tsquery" if match is Match.WEB else "plainto_tsquery"
    return {
        "terms": f"""
            SELECT alternative, excluded, t.words AS text, t.whole AS compound,
              {to_query}({_LANGUAGE}, t.words) AS words,
              phraseto_tsquery({_LANGUAGE}, t.whole) AS whole
            FROM jsonb_to_recordset(CAST(CAST(:terms AS text) AS jsonb))
              AS t(alternative int, excluded bool, words text, whole text)""",
        "met": _MET,
        "required": _REQUIRED,
    }


def _rarest(text: str) -> str:
    # A long query has lexemes that are not counted.
    return f"""
        SELECT {_KEY} AS key, coalesce(df, 'infinity') AS df
        FROM unnest(to_tsvector({_LANGUAGE}, {text})) AS u LEFT JOIN counted USING (lexeme)
        ORDER BY df, lexeme LIMIT 1"""


CHOSEN: Final = {
    "plain_words": f"""
        SELECT array_agg(DISTINCT {_KEY}) AS keys
        FROM met CROSS JOIN LATERAL unnest(to_tsvector({_LANGUAGE}, met.text)) AS u
        WHERE NOT excluded AND compound = ''""",
    # The term of each alternative that the fewest rows meet. These have its compound, or each of
    # its words, thus also the rarest.
    "selective": f"""
        SELECT DISTINCT ON (alternative) either.keys
        FROM met CROSS JOIN LATERAL (
          SELECT array_agg(key) AS keys, sum(df) AS df
          FROM (({_rarest("met.text")}) UNION ALL ({_rarest("met.compound")})) AS u
        ) AS either
        WHERE NOT excluded AND numnode(query) > 0 ORDER BY alternative, either.df""",
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
