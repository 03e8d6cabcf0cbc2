"""Analyze the text of code: split words in consecutive positions, and index compounds after them.

Every row of three tables is written again, and so are their indexes.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from repositories.migrations import revision_operations as operations

revision = "0014"
down_revision = "0013"

_COLUMNS = {
    "knowledge": (("title", 1_000, "A"), ("summary", 9_000, "B"), ("content", 90_000, "C")),
    "findings": (("title", 90_000, "C"),),
    "learning_memories": (("finding_text", 90_000, "C"),),
}


def upgrade() -> None:
    for table, columns in _COLUMNS.items():
        _replace(table, " || ".join(_lexemes(*column) for column in columns))


def downgrade() -> None:
    for table, columns in _COLUMNS.items():
        _replace(table, " || ".join(operations.lexemes(*column) for column in columns))


def _replace(table: str, expression: str) -> None:
    with operations.timed(table, "search_vector is computed again"):
        op.drop_column(table, "search_vector")
        column = sa.Column(
            "search_vector",
            postgresql.TSVECTOR(),
            operations.generated(expression),
            comment="Lexemes for keyword search, made by the server.",
        )
        op.add_column(table, column)
        op.create_index(
            f"ix_{table}_search_vector", table, ["search_vector"], postgresql_using="gin"
        )


def _lexemes(column: str, characters: int, weight: str) -> str:
    text = (
        f"CASE WHEN octet_length({column}) <= {characters} THEN {column} ELSE "
        f"left(coalesce({column}, ''), {characters}) END"
    )
    indexed = _INDEXED.replace("<abbreviated>", _ABBREVIATED).replace("<text>", text)
    return f"setweight(to_tsvector('english', {indexed}), '{weight}')"


# As `domain.schema.text_analysis` was when this revision was written.
_UNSPACED = (
    r"\u1100-\u11ff\u3005-\u3007\u3040-\u30ff\u3130-\u318f\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff"
    r"\uac00-\ud7af\uf900-\ufaff\uff66-\uff9d\U00020000-\U0003ffff"
)
_DELIMITERS = (
    r"\u0001-\u002c\u002f\u003a-\u0040\u005b-\u005e\u0060\u007b-\u007f\u0080-\u00a9\u00ab-\u00b4"
    r"\u00b6-\u00b9\u00bb-\u00bf\u00d7\u00f7\u2000-\u206f\u3000-\u3004\u3008-\u3020" + _UNSPACED
)
_UPPER = r"A-Z\u00c0-\u00d6\u00d8-\u00de\u0391-\u03a9\u0400-\u042f"
_LOWER_BUT_S = r"a-rt-z\u00df-\u00f6\u00f8-\u00ff\u03b1-\u03c9\u0430-\u045f"
_LOWER = "s" + _LOWER_BUT_S
_ONE_CASE = (
    f"(?:[{_UPPER}]?[{_LOWER}]*|[{_UPPER}]+s?)"
    rf"(?:[0-9](?:[{_LOWER}]*|[{_UPPER}]+s?)|[^\u0001-\u007f{_UPPER}{_LOWER}{_UNSPACED}]"
    f"(?:[{_UPPER}]?[{_LOWER}]*|[{_UPPER}]+s?))*"
)
_NUMBERS = "[0-9]+(?:[-T]+[0-9]+)*"
_BETWEEN = rf"[{_DELIMITERS}]+(?:[-_]*(?:{_ONE_CASE}|{_NUMBERS})[-_]*[{_DELIMITERS}]+)*"
_BETWEEN_PLAIN = (
    rf"[{_DELIMITERS}.]+(?:[-_]*(?:[^{_DELIMITERS}\-_.]*|{_NUMBERS})[-_]*[{_DELIMITERS}.]+)*"
)
_INNER_BOUNDARY = (
    r"%[2-7][0-9A-F]|(?<=[0-9])T(?=[0-9][0-9][-:_])|(?<![A-Za-z0-9])[vV](?=[0-9]+\.[0-9])"
    f"|(?<=[{_LOWER}])(?=[{_UPPER}])|(?<=[{_UPPER}0-9])(?=[{_UPPER}](?:[{_LOWER_BUT_S}]"
    f"|s[{_LOWER}]))|(?=[{_UNSPACED}])|(?<=[{_UNSPACED}])"
)
_IRREGULAR = (
    rf"[{_LOWER}][{_UPPER}]|[{_UPPER}0-9][{_UPPER}][{_LOWER}]|[0-9][a-f]|[a-f][0-9]"
    rf"|\.[^{_DELIMITERS}\-_.]|[0-9]T[0-9]|%[2-7][0-9A-F]|[{_UNSPACED}]"
)
_ABBREVIATED = (
    "CASE WHEN <text> LIKE '%._.%' THEN regexp_replace(<text>, "
    r"'(?<![A-Za-z0-9_])([A-Za-z])\.(?=(?:[A-Za-z]\.){1,3}(?![A-Za-z0-9_]))', '\1', 'g')"
    " ELSE <text> END"
)
_INDEXED = (
    f"CASE WHEN <text> ~ '{_IRREGULAR}' THEN "
    "replace(replace(replace(replace(replace(replace(replace(replace(replace(regexp_replace("
    "CASE WHEN <text> ~ '[0-9a-f]{8}' THEN regexp_replace(<abbreviated>, "
    "'(?<![0-9A-Za-z])((?:[0-9](?=[0-9]*[a-f])|[a-f](?=[a-f]*[0-9]))[0-9a-f]{6})[0-9a-f]+"
    "(?![0-9A-Za-z])', "
    r"'\1', 'g') ELSE <abbreviated> END"
    f", '{_INNER_BOUNDARY}', ' ', 'g')"
    ", '-', ' '), '<', ' '), '&', ' '), '+', ' '), '.', ' '), '/', ' '), '_', ' '), '~', ' '), "
    "'@', ' ')"
    r" || replace(replace(regexp_replace(CASE WHEN <text> ~ '[0-9]\.[0-9]|%[2-7][0-9A-F]' THEN "
    r"regexp_replace(' ' || <abbreviated> || ' ', "
    r"'(?:(?<![A-Za-z0-9])[vV])?([0-9]+(?:\.[0-9]+)+)|\.|%[2-7][0-9A-F]', "
    r"' \1 ', 'g') ELSE replace(' ' || <abbreviated> || ' ', '.', ' ') END"
    f", '{_BETWEEN}', ' ', 'g'), '-', ''), '_', '')"
    " WHEN strpos(<text>, '-') > 0 OR strpos(<text>, '_') > 0 THEN"
    " replace(replace(replace(replace(replace(replace(replace(replace(replace(<text>"
    ", '..', ' '), '<', ' '), '&', ' '), '+', ' '), '/', ' '), '~', ' '), '@', ' '), '-', ' '), "
    "'_', ' ')"
    f" || replace(replace(regexp_replace(' ' || <text> || ' ', '{_BETWEEN_PLAIN}', ' ', 'g'), "
    "'-', ''), '_', '')"
    " ELSE replace(replace(replace(replace(replace(replace(replace(<text>"
    ", '..', ' '), '<', ' '), '&', ' '), '+', ' '), '/', ' '), '~', ' '), '@', ' ') END"
)
