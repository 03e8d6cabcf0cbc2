"""Match a query with a row: any of its words, all of them, or the web-search syntax."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from itertools import chain
from typing import Final, TypeAlias

from domain.values.search import Match
from domain.values.text_queries import MAX_QUERY_TERMS, WebTerm, read_query, read_web_query
from repositories.fakes.lexemes import MAX_POSITIONS, Lexeme, lexemes, stems

_DIGIT: Final = re.compile("[0-9]")

Places: TypeAlias = Mapping[str, Set[int]]
"""The positions of each stem of a row."""


@dataclass(frozen=True, slots=True)
class ParsedQuery:
    """A query: its stems, with how often it names them, and what a row must meet.

    `meets` is also given the stems that any row has; nothing else can be found by words.
    """

    terms: Mapping[str, int]
    meets: Callable[[Places, Set[str]], bool]


def parse_query(query: str, match: Match) -> ParsedQuery:
    """Return what the query asks; nothing in it raises."""
    if match is Match.WEB:
        return _parse_web(read_web_query(query))
    text = read_query(query)
    words = list(stems(text.words))
    terms = _terms(chain(words, stems(text.compounds)))
    if match is Match.ANY:
        return ParsedQuery(terms, lambda places, stored: any(stem in places for stem in stored))
    # The words of a compound and not the compound, which would leave out "parse the config".
    required = set(words) or terms.keys()
    return ParsedQuery(terms, lambda places, _: places.keys() >= required)


def _terms(named: Iterable[str]) -> Mapping[str, int]:
    counts = {stem: min(count, MAX_POSITIONS) for stem, count in Counter(named).items()}
    return {stem: counts[stem] for stem in rarest(counts, MAX_QUERY_TERMS)}


def rarest(counts: Mapping[str, int], limit: int) -> Sequence[str]:
    """Return the stems with the lowest counts; of equals, words before numbers, long ones first."""

    def order(stem: str) -> tuple[bool, int, str]:
        return _DIGIT.search(stem) is not None, -len(stem), stem

    return sorted(counts, key=lambda stem: (counts[stem], *order(stem)))[:limit]


@dataclass(frozen=True, slots=True)
class _Phrase:
    lexemes: tuple[Lexeme, ...]
    excluded: bool

    def meets(self, places: Places) -> bool:
        return _stands(self.lexemes, places) is not self.excluded


def _parse_web(alternatives: Sequence[Sequence[WebTerm]]) -> ParsedQuery:
    groups = [phrases for terms in alternatives if (phrases := _phrases(terms))]
    # An alternative that only excludes cannot be looked up: the whole query finds nothing.
    if not all(any(not phrase.excluded for phrase in phrases) for phrases in groups):
        return ParsedQuery({}, lambda _places, _stems: False)
    ranked = (term.words for terms in alternatives for term in terms if not term.excluded)
    return ParsedQuery(
        _terms(stems(" ".join(ranked))),
        lambda places, _: any(
            all(phrase.meets(places) for phrase in phrases) for phrases in groups
        ),
    )


def _phrases(terms: Iterable[WebTerm]) -> Sequence[_Phrase]:
    phrases = (_Phrase(lexemes(term.words), term.excluded) for term in terms)
    return [phrase for phrase in phrases if phrase.lexemes]


def _stands(phrase: tuple[Lexeme, ...], places: Places) -> bool:
    """Return whether the words follow one another in the row, as far apart as in the phrase."""
    first = phrase[0]
    offsets = [(lexeme.stem, lexeme.position - first.position) for lexeme in phrase]
    starts = places.get(first.stem, frozenset())
    return any(
        all(start + offset in places.get(stem, ()) for stem, offset in offsets) for start in starts
    )
