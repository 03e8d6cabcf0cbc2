"""What a query asks of a row: any of its words, all of them, or what the web-search syntax says."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Final, TypeAlias

from domain.search import Match
from repositories.fakes.lexemes import Lexeme, lexemes

Places: TypeAlias = Mapping[str, frozenset[int]]
"""Where each stem of a row stands."""

Meets: TypeAlias = Callable[[Places], bool]

MAX_QUERY_CHARACTERS: Final = 1_000
"""A longer query is cut, as the server's is."""

_TERM: Final = re.compile(r'(-*)(?:"([^"]*)"?|([^\s"]+))')


@dataclass(frozen=True, slots=True)
class Question:
    """A query that was read: the stems to rank by, with their number of times, and what a row must meet."""

    stems: Mapping[str, int]
    meets: Meets


def read_query(query: str, match: Match) -> Question:
    """Return what the query asks; nothing in it raises. Without any stem it asks for nothing."""
    text = query[:MAX_QUERY_CHARACTERS]
    if match is Match.WEB:
        return _read_web(text)
    asked = _counted(lexemes(text))
    quantifier = all if match is Match.ALL else any
    return Question(asked, lambda places: quantifier(stem in places for stem in asked))


def _counted(found: tuple[Lexeme, ...]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for lexeme in found:
        counts[lexeme.stem] = counts.get(lexeme.stem, 0) + 1
    return counts


@dataclass(frozen=True, slots=True)
class _Term:
    phrase: tuple[Lexeme, ...]
    is_unwanted: bool

    def meets(self, places: Places) -> bool:
        return _stands(self.phrase, places) is not self.is_unwanted


def _read_web(text: str) -> Question:
    # OR binds less than the words beside it: `a b or c` is (a and b) or c.
    split = groupby(_terms(text), key=lambda term: term is not None)
    groups = [[term for term in group if term is not None] for is_term, group in split if is_term]
    groups = [kept for group in groups if (kept := [term for term in group if term.phrase])]
    wanted = tuple(lexeme for group in groups for term in group if not term.is_unwanted for lexeme in term.phrase)
    return Question(_counted(wanted), lambda places: any(all(term.meets(places) for term in group) for group in groups))


def _terms(text: str) -> Iterator[_Term | None]:
    """Yield the terms of a web search, and None for each OR between them."""
    for found in _TERM.finditer(text):
        minus, phrase, word = found.groups()
        if not minus and phrase is None and word.lower() == "or":
            yield None
        else:
            yield _Term(lexemes(word or phrase or ""), len(minus) % 2 == 1)


def _stands(phrase: tuple[Lexeme, ...], places: Places) -> bool:
    """Return whether the words stand in the row one after the other, as far apart as in the phrase."""
    first = phrase[0]
    starts = places.get(first.stem, frozenset())
    return any(
        all(start + lexeme.position - first.position in places.get(lexeme.stem, ()) for lexeme in phrase) for start in starts
    )
