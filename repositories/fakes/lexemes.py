"""Text as lexemes: words, split, stopped and stemmed as PostgreSQL's `english` configuration does with plain words.

Identifiers and paths are split before that, as the server's `search_vector` does it: `getUserName`, `parse_config` and
`db/client.ts` become compounds with hyphens, of which the whole and every part are lexemes.

Where PostgreSQL's own parser goes another way: it knows addresses of pages, mail and hosts, versions, tags and entities of HTML,
and numbers with an exponent, and keeps each as one lexeme; here they are words and numbers like any other.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib import import_module
from typing import Any, Final

from domain.columns import INDEXED_CHARACTERS
from domain.errors import ConfigurationError
from repositories.fakes.stopwords import ENGLISH

_BOUNDARY: Final = re.compile(
    r"(?<=[^\W_A-Z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|(?<=[^\W_])[_/.\\](?=[^\W\d_])",
)
_PART: Final = r"[^\W_]+"
_TOKEN: Final = re.compile(rf"-?\d+(?:\.\d+)?(?![^\W_])|{_PART}(?:-(?=\d*[^\W\d_]){_PART})*")


@dataclass(frozen=True, slots=True)
class Lexeme:
    """A stem, and the place of its word among all words of the text, stop words included, from 1."""

    stem: str
    position: int


def lexemes(text: str) -> tuple[Lexeme, ...]:
    """Return the lexemes of the text, in order.

    Raises:
        ConfigurationError: the package that stems is not installed.
    """
    words = enumerate(_words(text[:INDEXED_CHARACTERS]), start=1)
    stems = ((stem_of(word), position) for position, word in words)
    return tuple(Lexeme(stem, position) for stem, position in stems if stem is not None)


@lru_cache(maxsize=100_000)
def stem_of(word: str) -> str | None:
    """Return the word's stem, or None for a stop word; what holds a digit is kept as it is."""
    lowered = word.lower()
    if any(character.isdigit() for character in lowered):
        return lowered
    return None if lowered in ENGLISH else _stemmer()(lowered)


def _words(text: str) -> Iterator[str]:
    for found in _TOKEN.finditer(_BOUNDARY.sub("-", text)):
        token = found.group()
        yield token
        if "-" in token[1:]:
            yield from token.split("-")


@cache
def _stemmer() -> Callable[[str], str]:
    try:
        snowball: Any = import_module("snowballstemmer")
    except ImportError:
        raise ConfigurationError(
            "keyword search in a fake needs the package snowballstemmer: install recollect[testing]", setting="testing"
        ) from None
    stem: Callable[[str], str] = snowball.stemmer("english").stemWord
    return stem
