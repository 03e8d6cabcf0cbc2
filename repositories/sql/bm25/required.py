"""The condition of a query: a row has all terms of one alternative, and none that it excludes.

`query_parameters` sends the terms as JSON, and PostgreSQL makes lexemes of them. A compound is met
by its words or by itself as one word. Stop words are not required. A compound of stop words alone,
such as `is_on`, is required as one word if nothing else is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from domain.schema.tenant_lexemes import lexeme_key_sql
from domain.values.search import Match
from domain.values.text_queries import MAX_QUERY_TERMS
from repositories.sql.bm25.corpus import TENANT

if TYPE_CHECKING:
    from collections.abc import Mapping

_LANGUAGE: Final = "CAST(:language AS regconfig)"
_KEY: Final = lexeme_key_sql(TENANT, "u.lexeme")

_REQUIRED: Final = """
    SELECT string_agg('(' || part || ')', ' | ')::tsquery AS query, count(*) AS alternatives
    FROM (
      SELECT string_agg(
          CASE WHEN excluded THEN '!' ELSE '' END || '(' || query || ')', ' & ') AS part
      FROM (
        SELECT alternative, excluded, CASE
            WHEN excluded OR numnode(words) > 0 OR NOT bool_or(
              numnode(words) > 0 AND NOT excluded) OVER (PARTITION BY alternative)
            THEN words || whole ELSE '' END AS query
        FROM terms) AS met
      WHERE numnode(query) > 0 GROUP BY alternative HAVING NOT bool_and(excluded)
    ) AS parts"""


def required_terms(match: Match) -> Mapping[str, str]:
    """Return the SQL of the common table expressions `terms` and `required`, by name, in order.

    `terms` has the words of each term and its compound as `tsquery`. `required` has the whole
    condition, which is NULL if nothing is required. Binds: `terms` and `language`.
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
        "required": _REQUIRED,
    }


CHOSEN: Final = {
    # The lexemes of all terms that are not excluded.
    "every_word": f"""
        SELECT array_agg({_KEY}) AS keys
        FROM unnest(to_tsvector({_LANGUAGE}, CAST(:query AS text))) AS u""",
    "plain_words": f"""
        SELECT array_agg(DISTINCT {_KEY}) AS keys
        FROM terms CROSS JOIN LATERAL unnest(to_tsvector({_LANGUAGE}, terms.text)) AS u
        WHERE NOT excluded AND compound = ''""",
    # A row has a compound or each of its words, thus also the rarest. In a query of very many
    # words, not all are counted.
    "compounds": f"""
        SELECT array_agg(DISTINCT u.key) AS keys FROM terms CROSS JOIN LATERAL (
          (SELECT key FROM counted
           WHERE lexeme = ANY (tsvector_to_array(to_tsvector({_LANGUAGE}, terms.text)))
           ORDER BY df, lexeme LIMIT 1)
          UNION ALL
          (SELECT key FROM counted
           WHERE lexeme = ANY (tsvector_to_array(to_tsvector({_LANGUAGE}, terms.compound))))
        ) AS u
        WHERE NOT excluded
          AND (SELECT coalesce(max(counted.words), 0) FROM counted) <= {MAX_QUERY_TERMS}""",
    # With one alternative, a row has all plain words; without plain words, it has a compound. With
    # several alternatives, it has any word.
    "chosen": """
        SELECT r.query AS part, NULL::tsquery AS earlier,
          CASE WHEN r.alternatives = 1 THEN coalesce(p.keys, c.keys, e.keys) ELSE e.keys END
            AS keys_any,
          CASE WHEN r.alternatives = 1 THEN coalesce(p.keys, '{}') ELSE '{}' END AS keys_all
        FROM required AS r CROSS JOIN every_word AS e CROSS JOIN plain_words AS p
          CROSS JOIN compounds AS c
        WHERE EXISTS (SELECT 1 FROM words)""",
}
"""The common table expressions that choose the rows of `required`, by name, in order.

The index finds rows with any of `keys_any` and all of `keys_all`. These are compared with `part`.
"""
