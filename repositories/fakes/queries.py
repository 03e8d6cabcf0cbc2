"""What a query asks of a row: any of its words, all of them, or what the web-search syntax says."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Set
from dataclasses import dataclass
from itertools import groupby
from typing import Final, TypeAlias

from domain.values.search import Match
from repositories.fakes.lexemes import Lexeme, lexemes, split_compounds

Places: TypeAlias = Mapping[str, Set[int]]
"""Where each stem of a row stands."""

MAX_QUERY_CHARACTERS: Final = 1_000
"""A longer query is cut, as the server's is."""

_TERM: Final = re.compile(r'(-*)(?:"([^"]*)"?|([^\s"]+))')


@dataclass(frozen=True, slots=True)
class Question:
    """A query that was read: its stems, with how often it names them; those of them to rank by; and
    what a row must meet.

    `meets` is also given the stems that any row has; nothing else can be found by words.
    """

    asked: Mapping[str, int]
    ranked: Set[str]
    meets: Callable[[Places, Set[str]], bool]


def read_query(query: str, match: Match) -> Question:
    """Return what the query asks; nothing in it raises."""
    # A text cannot hold NUL, and the server is asked with a space in its place.
    query = query.replace("\0", " ")
    asked = Counter(lexeme.stem for lexeme in lexemes(split_compounds(query, MAX_QUERY_CHARACTERS)))
    match match:
        case Match.ANY:
            return Question(
                asked, asked.keys(), lambda places, words: any(stem in places for stem in words)
            )
        case Match.ALL:
            # The parts of a compound and not the whole, which would leave out "parse the config".
            parts = [stem for stem in asked if "-" not in stem[1:]] or list(asked)
            return Question(
                asked, asked.keys(), lambda places, _: all(stem in places for stem in parts)
            )
        case Match.WEB:
            return _read_web(query[:MAX_QUERY_CHARACTERS], asked)


@dataclass(frozen=True, slots=True)
class _Term:
    phrase: tuple[Lexeme, ...]
    minuses: int

    def meets(self, places: Places) -> bool:
        # Two minuses are none, but what has any is not looked up and adds nothing to the rank.
        return _stands(self.phrase, places) is (self.minuses % 2 == 0)


def _read_web(text: str, asked: Mapping[str, int]) -> Question:
    # OR binds less than the words beside it: `a b or c` is (a and b) or c.
    split = groupby(_terms(text), key=lambda term: term is not None)
    groups = [
        [term for term in group if term is not None and term.phrase]
        for is_term, group in split
        if is_term
    ]
    wanted = [
        {lexeme.stem for term in group if not term.minuses for lexeme in term.phrase}
        for group in groups
        if group
    ]
    # An alternative that only says what is unwanted cannot be looked up: the whole query finds
    # nothing.
    ranked = set[str]().union(*wanted) if all(wanted) else set[str]()
    return Question(
        asked,
        ranked,
        lambda places, _: any(
            all(term.meets(places) for term in group) for group in groups if group
        ),
    )


def _terms(text: str) -> Iterator[_Term | None]:
    """Yield the terms of a web search, and None for each OR between them.

    A compound is a phrase of its parts.
    """
    for found in _TERM.finditer(text):
        minus, phrase, word = found.groups()
        if not minus and phrase is None and word.lower() == "or":
            yield None
        else:
            apart = split_compounds(word or phrase or "", MAX_QUERY_CHARACTERS, joint=" ")
            yield _Term(lexemes(apart), len(minus))


def _stands(phrase: tuple[Lexeme, ...], places: Places) -> bool:
    """Return whether the words stand in the row one after the other, as far apart as in the phrase."""
    first = phrase[0]
    offsets = [(lexeme.stem, lexeme.position - first.position) for lexeme in phrase]
    starts = places.get(first.stem, frozenset())
    return any(
        all(start + offset in places.get(stem, ()) for stem, offset in offsets) for start in starts
    )
