"""Lexemes of a prepared text, as PostgreSQL's `to_tsvector('english', …)` makes them.

`domain.values.text_analysis` prepares texts so that the parser sees plain words. What is left to
imitate is small: which characters make a word, numbers with an exponent, stop words and stems.
Characters follow Unicode's categories, as in a database with the locale C.UTF-8. Stems are those of
PostgreSQL 18 with snowballstemmer 2; version 3 has newer rules, and the stems of a few words differ
(`university`).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib import import_module
from typing import Any, Final

from domain.errors import ConfigurationError
from repositories.fakes.stopwords import ENGLISH

# The limits of a tsvector.
MAX_POSITION: Final = 16_383
MAX_POSITIONS: Final = 255
_MAX_LEXEME_BYTES: Final = 2_046

_MARK: Final = "\u0301"
_TOKEN: Final = re.compile(rf"[0-9]+(?:\.[0-9]+)+|[0-9]+[eE][0-9]+|[0-9A-Za-z][0-9A-Za-z{_MARK}]*")


# PostgreSQL 18 keeps both consonants of so short a stem. Older versions and snowballstemmer 2
# do not.
_SHORT_STEM: Final = re.compile(r"([aeo]([bdfgmnprt])\2)(?:ed|edly|ing|ingly)")


@dataclass(frozen=True, slots=True)
class Lexeme:
    """A stem, and the position of its word in the text, from 1; stop words count."""

    stem: str
    position: int


def lexemes(text: str) -> tuple[Lexeme, ...]:
    """Return the lexemes of a prepared text, in order.

    Raises:
        ConfigurationError: the package that stems is not installed.
    """
    return tuple(
        Lexeme(stem, min(position, MAX_POSITION))
        for position, stem in enumerate(_stems(text), start=1)
        if stem is not None
    )


def stems(text: str) -> Iterator[str]:
    """Yield the stem of each lexeme of a prepared text, in order.

    Raises:
        ConfigurationError: the package that stems is not installed.
    """
    return (stem for stem in _stems(text) if stem is not None)


def _stems(text: str) -> Iterator[str | None]:
    shape = text if text.isascii() else text.translate({ord(c): _shape(c) for c in set(text)})
    for token in _TOKEN.finditer(shape):
        word = text[token.start() : token.end()]
        if len(word) == 1 and not word.isascii() and word == word.lower():
            yield word  # Chinese, Japanese and Korean: most of them, and quickly
            continue
        word = _lower(word)
        # The parser leaves longer words out, and gives them no position.
        if len(word) <= _MAX_LEXEME_BYTES // 4 or len(word.encode()) <= _MAX_LEXEME_BYTES:
            yield _stem(word)


@lru_cache(maxsize=10_000)
def _shape(character: str) -> str:
    """Return a letter for what begins a word, a mark for what may only continue it."""
    if character.isascii():
        return character
    category = unicodedata.category(character)
    if category[0] == "M" or category == "Cf":
        return _MARK
    return "a" if character.isalnum() and category != "No" else " "


def _lower(word: str) -> str:
    # Each character by itself, as the server does: without a final sigma, and with one i for `İ`.
    return word.lower() if word.isascii() else "".join(c.lower()[0] for c in word)


@lru_cache(maxsize=100_000)
def _stem(word: str) -> str | None:
    """Return the word's stem, or None for a stop word; what holds a digit is kept as it is."""
    if any(character.isdigit() for character in word):
        return word
    if short := _SHORT_STEM.fullmatch(word):
        return short[1]
    return None if word in ENGLISH else _stemmer()(word)


@cache
def _stemmer() -> Callable[[str], str]:
    try:
        snowball: Any = import_module("snowballstemmer")
    except ImportError:
        raise ConfigurationError(
            "keyword search in a fake needs snowballstemmer: pip install 'recollect[testing]'",
            setting="testing",
        ) from None
    stem: Callable[[str], str] = snowball.stemmer("english").stemWord
    return stem
