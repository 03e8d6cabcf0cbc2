"""SQL that prepares a text for `to_tsvector` by the rules of `domain.values.text_analysis`."""

from __future__ import annotations

from typing import Final

from domain.values import text_analysis as rules

_UPPER: Final = rules.UPPER
_LOWER: Final = rules.LOWER
_OTHER: Final = rf"[^\u0001-\u007f{_UPPER}{_LOWER}{rules.UNSPACED}]"

# A word without a boundary of `CASE_BOUNDARY`, as one automaton: a lookaround for each character
# costs three times as much.
_ONE_CASE: Final = (
    f"(?:[{_UPPER}]?[{_LOWER}]*|[{_UPPER}]+s?)"
    f"(?:[0-9](?:[{_LOWER}]*|[{_UPPER}]+s?)|{_OTHER}(?:[{_UPPER}]?[{_LOWER}]*|[{_UPPER}]+s?))*"
)
# A text without these has no compounds but those with hyphens and underscores, and no dot inside a
# word. One pass finds that out; for most prose it saves five.
_IRREGULAR: Final = (
    rf"[{_LOWER}][{_UPPER}]|[{_UPPER}0-9][{_UPPER}][{_LOWER}]|[0-9][a-f]|[a-f][0-9]"
    rf"|\.[^{rules.DELIMITERS}\-_.]|[0-9]T[0-9]|{rules.URL_ESCAPE}|[{rules.UNSPACED}]"
)
_FIRST: Final = r"\1"
_PLAIN_WORD: Final = rf"[^{rules.DELIMITERS}\-_.]*"


def indexed_text_sql(column: str, characters: int) -> str:
    """Return SQL for what `indexed_text` returns of the first `characters` of a column.

    The expression is immutable and does not depend on the locale. It repeats the column, because a
    generated column has no other way to name a value.
    """
    text = (
        f"CASE WHEN octet_length({column}) <= {characters} THEN {column} "
        f"ELSE left(coalesce({column}, ''), {characters}) END"
    )
    plain = _separated(text, "..", *"<&+/~@")
    joined = _replace(f"' ' || {text} || ' '", _between_compounds(_PLAIN_WORD, "-_", "."), " ")
    hyphened = f"{_separated(plain, '-', '_')} || {_joined(joined)}"
    abbreviated = (
        f"CASE WHEN {text} LIKE '%._.%' THEN {_replace(text, rules.ABBREVIATED_LETTER, _FIRST)}"
        f" ELSE {text} END"
    )
    shortened = _where(
        text, "[0-9a-f]{8}", _replace(abbreviated, rules.LONG_HASH, _FIRST), otherwise=abbreviated
    )
    words = _separated(_replace(shortened, rules.INNER_BOUNDARY, " "), *rules.SEPARATORS)
    irregular = f"{words} || {_compounds(text, abbreviated)}"
    return (
        f"CASE WHEN {text} ~ {_quoted(_IRREGULAR)} THEN {irregular} "
        f"WHEN strpos({text}, '-') > 0 OR strpos({text}, '_') > 0 THEN {hyphened} "
        f"ELSE {plain} END"
    )


def _separated(text: str, *separators: str) -> str:
    # A chain of `replace` takes half of the time of `translate` or of a regular expression.
    for separator in separators:
        text = f"replace({text}, '{separator}', ' ')"
    return text


def _compounds(text: str, abbreviated: str) -> str:
    """Return SQL for what `compounds` returns."""
    padded = f"' ' || {abbreviated} || ' '"
    separated = _where(
        text,
        rf"[0-9]\.[0-9]|{rules.URL_ESCAPE}",
        _replace(padded, rules.VERSION_OR_DOT, r" \1 "),
        otherwise=_separated(padded, "."),
    )
    return _joined(_replace(separated, _between_compounds(_ONE_CASE, "-_"), " "))


def _joined(compounds: str) -> str:
    return f"replace(replace({compounds}, '-', ''), '_', '')"


def _between_compounds(word: str, joints: str, delimiters: str = "") -> str:
    blank = f"[{rules.DELIMITERS}{delimiters}]+"
    return f"{blank}(?:[{joints}]*(?:{word}|{rules.NUMBERS})[{joints}]*{blank})*"


def _where(text: str, pattern: str, then: str, *, otherwise: str) -> str:
    return f"CASE WHEN {text} ~ {_quoted(pattern)} THEN {then} ELSE {otherwise} END"


def _replace(text: str, pattern: str, replacement: str) -> str:
    return f"regexp_replace({text}, {_quoted(pattern)}, {_quoted(replacement)}, 'g')"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
