"""Ranking by words: BM25 over the lexemes of a row's weighted columns (Robertson and Zaragoza 2009)."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final, TypeAlias

from domain.search import Match
from repositories.fakes.lexemes import lexemes
from repositories.fakes.queries import Places, Question, read_query

if TYPE_CHECKING:
    from repositories.fakes.checks import Row

Searched: TypeAlias = tuple[tuple[str, str], ...]
"""Columns, in order, and the weight of each, `A` (most) to `D`."""

K1: Final = 1.2
B: Final = 0.75
WEIGHTS: Final[Mapping[str, float]] = {"A": 2.0, "B": 1.5, "C": 1.0, "D": 1.0}
"""How much an occurrence counts, by the weight of its column."""


@dataclass(frozen=True, slots=True)
class Document:
    """A row's words: where each stem stands, how often it occurs by weight, and the length of the texts in bytes."""

    places: Places
    frequencies: Mapping[str, float]
    length: int


@dataclass(frozen=True, slots=True)
class Found:
    """A row that matches, its BM25 and the stems of the query that it has."""

    row: Row
    relevance: float
    terms: tuple[str, ...]


def best(
    query: str, rows: Iterable[Row], everything: Iterable[Row], searched: Searched, *, limit: int, match: Match
) -> Sequence[Found]:
    """Return the `rows` that match the query best, ties by id; how common a word is, `everything` tells."""
    question = read_query(query, match)
    if not question.stems:
        return []
    corpus = _Corpus([document_of(row, searched) for row in everything], question)
    documents = ((row, document_of(row, searched)) for row in rows)
    found = [
        Found(row, corpus.relevance(document), tuple(sorted(stem for stem in question.stems if stem in document.places)))
        for row, document in documents
        if question.meets(document.places)
    ]
    return sorted(found, key=lambda hit: (-hit.relevance, hit.row["id"]))[:limit]


class _Corpus:
    """What the ranking knows of all rows: how many, how long on average, and in how many each stem of the question is."""

    def __init__(self, documents: Sequence[Document], question: Question) -> None:
        self._average = sum(document.length for document in documents) / max(1, len(documents))
        self._gains = {
            stem: times * _rarity(len(documents), sum(stem in document.places for document in documents))
            for stem, times in question.stems.items()
        }

    def relevance(self, document: Document) -> float:
        norm = K1 * (1 - B + B * document.length / max(1.0, self._average))
        frequencies = ((gain, document.frequencies.get(stem, 0.0)) for stem, gain in self._gains.items())
        return sum(gain * (K1 + 1) * frequency / (frequency + norm) for gain, frequency in frequencies if frequency)


def _rarity(rows: int, having: int) -> float:
    return math.log(1 + (rows - having + 0.5) / (having + 0.5))


def document_of(row: Row, searched: Searched) -> Document:
    """Return the words of the row's columns, one after the other."""
    return _document(tuple((row[column] or "", weight) for column, weight in searched))


@lru_cache(maxsize=20_000)
def _document(texts: tuple[tuple[str, str], ...]) -> Document:
    places: defaultdict[str, set[int]] = defaultdict(set)
    frequencies: defaultdict[str, float] = defaultdict(float)
    shift = 0
    for text, weight in texts:
        found = lexemes(text)
        for lexeme in found:
            places[lexeme.stem].add(shift + lexeme.position)
            frequencies[lexeme.stem] += WEIGHTS[weight]
        shift += found[-1].position if found else 0
    length = sum(len(text.encode()) for text, _ in texts)
    return Document({stem: frozenset(where) for stem, where in places.items()}, frequencies, length)
