"""Text as lexemes: words, split, stopped and stemmed as PostgreSQL's `english` configuration does
with plain words.

Identifiers and paths are split first, as `domain.schema.columns.split_compounds` does on the
server: `getUserName`, `parse_config` and `db/client.ts` become compounds with hyphens, of which the
whole and every part are lexemes.

Where PostgreSQL goes another way: its parser also knows addresses of pages and mail, tags and
entities of HTML, and numbers with an exponent, and its regular expressions see capitals of every
script, where these see ASCII's. Stems are exactly its own with snowballstemmer 2; with version 3,
whose rules are newer than the server's, those of a few words differ (`university`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib import import_module
from typing import Any, Final

from domain.errors import ConfigurationError
from repositories.fakes.stopwords import ENGLISH

# The server takes the longest of the alternatives; each has one length, so that the first to match
# here is the longest.
_INNER_BOUNDARY: Final = re.compile(
    r"([^\W_]{2})[_/.\\]([^\W\d_])|([A-Z])([A-Z][a-z])|[_/.\\]([^\W\d_]{2})|([a-z\d])([A-Z])",
)
_NUMBERED: Final = re.compile(r"[/\\](\d)")

_LETTER: Final = r"[^\W\d_]"
_WORD: Final = r"[^\W_]+"
_COMPOUND: Final = rf"{_LETTER}[^\W_]*(?:-(?=\d*{_LETTER}){_WORD})+"
_WHOLE: Final = (
    rf"{_LETTER}[^\W_]*(?:[./]{_WORD})+|[-+]?\d+(?:[./]\d+)*(?![^\W_])|(?<=[^\W_])\.\.(?!\S)"
)
_TOKEN: Final = re.compile(rf"(?P<compound>{_COMPOUND})|(?P<whole>{_WHOLE})|{_WORD}")


@dataclass(frozen=True, slots=True)
class Lexeme:
    """A stem, and the place of its word among all words of the text, stop words included, from 1."""

    stem: str
    position: int


def split_compounds(text: str, characters: int, *, joint: str = "-") -> str:
    """Return the first `characters` of the text, with the humps and separators inside identifiers and paths as `joint`."""
    joined = _INNER_BOUNDARY.sub(rf"\1\3\6{joint}\2\4\5\7", text[:characters])
    return _NUMBERED.sub(r" \1", joined).replace("_", " ")[:characters]


def lexemes(text: str) -> tuple[Lexeme, ...]:
    """Return the lexemes of a text whose identifiers were split, in order.

    Raises:
        ConfigurationError: the package that stems is not installed.
    """
    stems = ((stem, position) for position, stem in enumerate(_stems(text), start=1))
    return tuple(Lexeme(stem, position) for stem, position in stems if stem is not None)


def _stems(text: str) -> Iterator[str | None]:
    for found in _TOKEN.finditer(text):
        token = found.group().lower()
        if found["whole"]:
            yield token
            continue
        yield _stem(token)
        if found["compound"]:
            yield from map(_stem, token.split("-"))


@lru_cache(maxsize=100_000)
def _stem(word: str) -> str | None:
    """Return the word's stem, or None for a stop word; what holds a digit is kept as it is."""
    if any(character.isdigit() for character in word):
        return word
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
