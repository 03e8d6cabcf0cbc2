"""Match a query with a row: any of its words, all of them, or the web-search syntax."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Final, TypeAlias

from domain.values.search import Match
from domain.values.text_queries import MAX_QUERY_TERMS, QueryTerm, read_query, read_web_query
from domain.values.turns import VALUES_PER_TURN, slices
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


async def parse_query(query: str, match: Match) -> ParsedQuery:
    """Return what the query asks, and let other tasks run meanwhile; nothing in it raises."""
    if match is Match.WEB:
        alternatives = read_web_query(query)
        ranked = (term for terms in alternatives for term in terms if not term.excluded)
        terms = await _terms([text for term in ranked for text in (term.words, *term.spellings)])
        return ParsedQuery(terms, _meets_any(alternatives, _stands))
    text = read_query(query)
    terms = await _terms([*text.words.split(), *text.compounds.split()])
    if match is Match.ANY:
        return ParsedQuery(terms, lambda places, stored: any(stem in places for stem in stored))
    return ParsedQuery(terms, _meets_any([text.terms], _has_all))


async def _terms(texts: Sequence[str]) -> Mapping[str, int]:
    await asyncio.sleep(0)
    named = Counter[str]()
    async for some in slices(texts, VALUES_PER_TURN):
        for text in some:
            named.update(stems(text))
    await asyncio.sleep(0)
    counts = {stem: min(count, MAX_POSITIONS) for stem, count in named.items()}
    chosen = rarest(counts, MAX_QUERY_TERMS)
    await asyncio.sleep(0)
    return {stem: counts[stem] for stem in chosen}


def rarest(counts: Mapping[str, int], limit: int) -> Sequence[str]:
    """Return the stems with the lowest counts; of equals, words before numbers, long ones first."""

    def order(stem: str) -> tuple[bool, int, str]:
        return _DIGIT.search(stem) is not None, -len(stem), stem

    return sorted(counts, key=lambda stem: (counts[stem], *order(stem)))[:limit]


@dataclass(frozen=True, slots=True)
class _Condition:
    """The words of a term and its other spellings, of which a row has one."""

    words: tuple[Lexeme, ...]
    spellings: Sequence[tuple[Lexeme, ...]]
    excluded: bool

    def meets(self, places: Places, has: Callable[[tuple[Lexeme, ...], Places], bool]) -> bool:
        either = (bool(words) and has(words, places) for words in (self.words, *self.spellings))
        return any(either) is not self.excluded


def _meets_any(
    alternatives: Sequence[Sequence[QueryTerm]], has: Callable[[tuple[Lexeme, ...], Places], bool]
) -> Callable[[Places, Set[str]], bool]:
    required = [conditions for terms in alternatives if (conditions := _conditions(terms))]
    return lambda places, _: any(
        all(condition.meets(places, has) for condition in conditions) for conditions in required
    )


def _conditions(terms: Iterable[QueryTerm]) -> Sequence[_Condition]:
    """Return the conditions of one alternative, or none if it requires nothing.

    A compound of stop words alone is one if nothing else is required.
    """
    read = [
        _Condition(lexemes(term.words), [lexemes(s) for s in term.spellings], term.excluded)
        for term in terms
    ]
    has_words = any(condition.words and not condition.excluded for condition in read)
    conditions = [
        condition
        for condition in read
        if condition.words or (any(condition.spellings) and (condition.excluded or not has_words))
    ]
    return conditions if any(not condition.excluded for condition in conditions) else []


def _has_all(words: tuple[Lexeme, ...], places: Places) -> bool:
    return all(lexeme.stem in places for lexeme in words)


def _stands(phrase: tuple[Lexeme, ...], places: Places) -> bool:
    """Return whether the words follow one another in the row, as far apart as in the phrase."""
    first = phrase[0]
    offsets = [(lexeme.stem, lexeme.position - first.position) for lexeme in phrase]
    starts = places.get(first.stem, frozenset())
    return any(
        all(start + offset in places.get(stem, ()) for stem, offset in offsets) for start in starts
    )
