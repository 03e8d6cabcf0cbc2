"""Ranking by words.

BM25 over the lexemes of a row's weighted columns (Robertson and Zaragoza 2009).
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, TypeAlias

from domain.values.bm25 import DEFAULT_BM25, Bm25
from domain.values.search import Match
from domain.values.text_analysis import INDEXED_CHARACTERS, indexed_text
from domain.values.text_queries import MAX_RANKED_TERMS
from domain.values.turns import slices, sorted_in_slices
from repositories.fakes.lexemes import MAX_POSITION, MAX_POSITIONS, lexemes
from repositories.fakes.queries import ParsedQuery, Places, parse_query, rarest

if TYPE_CHECKING:
    from repositories.fakes.checks import Row

Searched: TypeAlias = tuple[tuple[str, str], ...]
"""Columns, in order, and the weight of each: `A` (title), `B` (summary) or `C` (body)."""


@dataclass(frozen=True, slots=True)
class IndexedRow:
    """The words of a row: the positions of each stem, and its occurrences by weight."""

    places: Places
    frequencies: Mapping[str, Mapping[str, int]]

    @property
    def length(self) -> int:
        """How many different stems it has."""
        return len(self.places)


@dataclass(frozen=True, slots=True)
class KeywordMatch:
    """A row that matches: its BM25, the most that a row can have, and the stems that it has."""

    row: Row
    relevance: float
    possible: float
    terms: tuple[str, ...]


async def best(
    query: str,
    rows: Sequence[Row],
    everything: Sequence[Row],
    searched: Searched,
    *,
    limit: int,
    match: Match,
    ranking: Bm25 = DEFAULT_BM25,
) -> Sequence[KeywordMatch]:
    """Return the `rows` that match the query best, ties by id.

    Args:
        query: the query.
        rows: the rows to rank.
        everything: all rows of the tenant, from which the frequencies of words come.
        searched: the columns that are searched.
        limit: the largest number of rows.
        match: how many of the words a row must contain.
        ranking: the parameters of BM25.
    """
    parsed = await parse_query(query, match)
    if not parsed.terms:
        return []
    having = dict.fromkeys(parsed.terms, 0)
    total = 0
    async for some in slices(everything):
        for document in (document_of(row, searched) for row in some):
            total += document.length
            for stem in having.keys() & document.places.keys():
                having[stem] += 1
    weights = _term_weights(parsed, having, len(everything), ranking)
    if not weights:
        return []
    average = total / max(1, len(everything))
    hits = [
        KeywordMatch(
            row,
            _relevance(document, weights, average, ranking),
            sum(weights.values()),
            tuple(sorted(weights.keys() & document.places.keys())),
        )
        async for some in slices(rows)
        for row in some
        if parsed.meets((document := document_of(row, searched)).places, weights.keys())
    ]
    return (await sorted_in_slices(hits, lambda hit: (-hit.relevance, hit.row["id"])))[:limit]


def _term_weights(
    parsed: ParsedQuery, having: Mapping[str, int], documents: int, ranking: Bm25
) -> Mapping[str, float]:
    """Return how much each of the rarest stems can add to the relevance of a row.

    It is the inverse document frequency, times the number of times that the query has the stem.

    Args:
        parsed: the query.
        having: the number of documents with each stem.
        documents: the number of documents.
        ranking: the parameters.
    """
    # With one word there is nothing to weigh it against, and counting its rows would cost the
    # server more than finding them.
    rows_with = {
        stem: 1 if len(parsed.terms) == 1 else rows for stem, rows in having.items() if rows
    }
    return {
        stem: (ranking.k1 + 1) * parsed.terms[stem] * _rarity(documents, rows_with[stem])
        for stem in rarest(rows_with, MAX_RANKED_TERMS)
    }


def _rarity(rows: int, having: int) -> float:
    return math.log(1 + (rows - having + 0.5) / (having + 0.5))


def _relevance(
    document: IndexedRow, weights: Mapping[str, float], average: float, ranking: Bm25
) -> float:
    norm = ranking.k1 * (1 - ranking.b + ranking.b * document.length / max(1.0, average))
    frequencies = (
        (
            weight,
            sum(
                ranking.weight(label) * count
                for label, count in document.frequencies.get(stem, {}).items()
            ),
        )
        for stem, weight in weights.items()
    )
    return sum(weight * frequency / (frequency + norm) for weight, frequency in frequencies)


def document_of(row: Row, searched: Searched) -> IndexedRow:
    """Return the words of the row's columns, one after the other."""
    return _document(tuple((row[column] or "", weight) for column, weight in searched))


@lru_cache(maxsize=20_000)
def _document(texts: tuple[tuple[str, str], ...]) -> IndexedRow:
    places: defaultdict[str, set[int]] = defaultdict(set)
    frequencies: defaultdict[str, Counter[str]] = defaultdict(Counter)
    shift = 0
    for text, weight in texts:
        prepared = indexed_text(text[: INDEXED_CHARACTERS[weight]])
        positions_by_stem = _positions(prepared)
        for stem, positions in positions_by_stem.items():
            shifted = {shift + position for position in positions} if shift else positions
            places[stem] |= {min(position, MAX_POSITION) for position in shifted}
            frequencies[stem][weight] += len(positions)
        shift += max((max(positions) for positions in positions_by_stem.values()), default=0)
    return IndexedRow(dict(places), dict(frequencies))


def _positions(prepared: str) -> Mapping[str, Set[int]]:
    positions_by_stem: defaultdict[str, set[int]] = defaultdict(set)
    for lexeme in lexemes(prepared):
        if len(positions_by_stem[lexeme.stem]) < MAX_POSITIONS:
            positions_by_stem[lexeme.stem].add(lexeme.position)
    return positions_by_stem
