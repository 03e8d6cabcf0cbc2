"""Ranking by words.

BM25 over the lexemes of a row's weighted columns (Robertson and Zaragoza 2009).
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final, TypeAlias

from domain.values.search import Match
from repositories.fakes.lexemes import lexemes, split_compounds
from repositories.fakes.queries import Places, Question, read_query

if TYPE_CHECKING:
    from repositories.fakes.checks import Row

Searched: TypeAlias = tuple[tuple[str, str], ...]
"""Columns, in order, and the weight of each: `A` (title), `B` (summary) or `C` (body)."""

K1: Final = 1.2
B: Final = 0.75
WEIGHTS: Final[Mapping[str, int]] = {"A": 3, "B": 2, "C": 1}
"""How much an occurrence counts, by the weight of its column."""

CHARACTERS: Final[Mapping[str, int]] = {"A": 1_000, "B": 9_000, "C": 90_000}
"""How much of a column is searched, by its weight."""

MAX_WORDS: Final = 32
"""The stems of a query that are ranked by: those that tell most."""


@dataclass(frozen=True, slots=True)
class Document:
    """A row's words.

    Where each stem stands, how often it occurs by weight, and the length of the texts in bytes.
    """

    places: Places
    frequencies: Mapping[str, int]
    length: int


@dataclass(frozen=True, slots=True)
class Found:
    """A row that matches, its BM25 and the stems of the query that it has."""

    row: Row
    relevance: float
    terms: tuple[str, ...]


def best(
    query: str,
    rows: Iterable[Row],
    everything: Iterable[Row],
    searched: Searched,
    *,
    limit: int,
    match: Match,
) -> Sequence[Found]:
    """Return the `rows` that match the query best, ties by id.

    How common a word is, `everything` tells.
    """
    question = read_query(query, match)
    if not question.ranked:
        return []
    corpus = [document_of(row, searched) for row in everything]
    gains = _gains(question, corpus)
    average = sum(document.length for document in corpus) / max(1, len(corpus))
    documents = ((row, document_of(row, searched)) for row in rows)
    found = [
        Found(
            row,
            _relevance(document, gains, average),
            tuple(sorted(gains.keys() & document.places.keys())),
        )
        for row, document in documents
        if gains and question.meets(document.places, gains.keys())
    ]
    return sorted(found, key=lambda hit: (-hit.relevance, hit.row["id"]))[:limit]


def _gains(question: Question, corpus: Sequence[Document]) -> Mapping[str, float]:
    """Return how much each stem can add.

    Its inverse document frequency, as often as the query names it.
    """
    having = {
        stem: sum(stem in document.places for document in corpus)
        for stem in question.ranked & question.asked.keys()
    }
    # With one word there is nothing to weigh it against, and counting its rows would cost the
    # server more than finding them.
    rows_with = {
        stem: 1 if len(question.asked) == 1 else rows for stem, rows in having.items() if rows
    }
    gains = {
        stem: (K1 + 1) * question.asked[stem] * _rarity(len(corpus), rows)
        for stem, rows in rows_with.items()
    }
    return dict(sorted(gains.items(), key=lambda gain: (-gain[1], gain[0]))[:MAX_WORDS])


def _rarity(rows: int, having: int) -> float:
    return math.log(1 + (rows - having + 0.5) / (having + 0.5))


def _relevance(document: Document, gains: Mapping[str, float], average: float) -> float:
    norm = K1 * (1 - B + B * document.length / max(1.0, average))
    frequencies = ((gain, document.frequencies.get(stem, 0)) for stem, gain in gains.items())
    return sum(gain * frequency / (frequency + norm) for gain, frequency in frequencies)


def document_of(row: Row, searched: Searched) -> Document:
    """Return the words of the row's columns, one after the other."""
    return _document(tuple((row[column] or "", weight) for column, weight in searched))


@lru_cache(maxsize=20_000)
def _document(texts: tuple[tuple[str, str], ...]) -> Document:
    places: defaultdict[str, set[int]] = defaultdict(set)
    frequencies: defaultdict[str, int] = defaultdict(int)
    shift = 0
    for text, weight in texts:
        found = lexemes(split_compounds(text, CHARACTERS[weight]))
        for lexeme in found:
            places[lexeme.stem].add(shift + lexeme.position)
            frequencies[lexeme.stem] += WEIGHTS[weight]
        shift += found[-1].position if found else 0
    return Document(dict(places), dict(frequencies), sum(len(text.encode()) for text, _ in texts))
