"""Fingerprints of titles: one value for all spellings of the same remark."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterator
from typing import Final

from domain.values.text import require_any_text
from domain.values.unicode import normalized

_TOKEN: Final = re.compile(r"[^\W_]+|[^\w\s]+")
"""A word with its digits, or a run of other characters."""

_QUOTES: Final = frozenset("'\"`")
_QUOTE_AND_BRACKET_CATEGORIES: Final = frozenset({"Ps", "Pe", "Pi", "Pf"})
_PUNCTUATION_THAT_OPERATES: Final = frozenset("#%&*/@\\")
"""Characters that Unicode classes as punctuation and programming languages use as operators."""

_SENTENCE_END: Final = ".,;:!?"
_PREFIXES: Final = frozenset("-.!")
"""Punctuation that changes the word after it, as in `-1`, `.net` and `!ready`."""

_VARIATION_SELECTORS: Final = range(0xFE00, 0xFE10)


def title_fingerprint(title: str) -> str:
    """Return the fingerprint of a title: 32 hexadecimal digits.

    Titles have one fingerprint if they differ only in case, spacing, quotes, brackets, underscores,
    the punctuation of a sentence, or compatibility forms of characters (Unicode NFKC). Letters and
    digits of every script count, and so do operators and other symbols: `a < b` differs from
    `a > b`, `C++` from `C#`, `-1` from `1` and "status 404" from "status 500".

    Args:
        title: the title. One that consists of punctuation alone is hashed as it is.

    Raises:
        InvalidInput: `title` is not text.
    """
    require_any_text(title, "title")
    folded = normalized("NFKC", title).casefold()
    tokens = " ".join(_tokens(folded.replace("_", " ")))
    return hashlib.sha256((tokens or folded).encode(errors="surrogatepass")).hexdigest()[:32]


def _tokens(text: str) -> Iterator[str]:
    for match in _TOKEN.finditer(text):
        token, start, end = match[0], match.start(), match.end()
        if token[0].isalnum():
            yield token
            continue
        after_word = start > 0 and text[start - 1].isalnum()
        before_word = end < len(text) and text[end].isalnum()
        if symbols := _symbols(token, after_word=after_word, before_word=before_word):
            yield symbols


def _symbols(run: str, *, after_word: bool, before_word: bool) -> str:
    """Return the characters of a run that count, or an empty text for plain punctuation."""
    characters = "".join(character for character in run if not _is_quote_or_bracket(character))
    if any(_is_symbol(character) for character in characters):
        return characters.rstrip(_SENTENCE_END)
    if not characters:
        # An empty pair of brackets on its own is a literal: "use [] instead of ()".
        is_literal = not (after_word or before_word) and not _QUOTES & set(run)
        return run if is_literal else ""
    counts = _changes_meaning(characters, after_word=after_word, before_word=before_word)
    return characters if counts else ""


def _changes_meaning(punctuation: str, *, after_word: bool, before_word: bool) -> bool:
    if after_word and before_word:
        return len(punctuation) > 1
    if before_word:
        return punctuation[-1] in _PREFIXES
    if after_word:
        return punctuation == "--"
    return len(punctuation) > 1 and punctuation[0] in "?:"


def _is_quote_or_bracket(character: str) -> bool:
    return (
        character in _QUOTES
        or unicodedata.category(character) in _QUOTE_AND_BRACKET_CATEGORIES
        or ord(character) in _VARIATION_SELECTORS
    )


def _is_symbol(character: str) -> bool:
    # Combining marks are vowels in some scripts. The underscore is a space by now.
    return character in _PUNCTUATION_THAT_OPERATES or unicodedata.category(character)[0] in "SM"
