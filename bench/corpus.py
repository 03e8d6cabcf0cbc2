"""Texts with known words.

A vocabulary as Zipf has it, and three words planted in a known share of the rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

SEED = 20_240_229
WORDS_IN_A_ROW = 60
VOCABULARY = 20_000
WORDS_IN_A_QUESTION = 12

PLANTED = {"quorrax": 0.01, "belvonk": 0.10, "trimdal": 0.50}
"""The share of the rows that each of these words is in, once."""

_SYLLABLES = [f"{consonant}{vowel}" for consonant in "bdfgklmnprstvz" for vowel in "aeiou"]


def _word(rank: int) -> str:
    base = len(_SYLLABLES)
    return "".join(_SYLLABLES[rank // base**place % base] for place in range(3))


_VOCABULARY = np.array([_word(7 * rank) for rank in range(VOCABULARY)])
_SHARES = 1 / (np.arange(VOCABULARY) + 2.7)
_SHARES /= _SHARES.sum()


def texts(rows: int) -> Iterator[str]:
    """Yield as many texts, the same ones every time."""
    random = np.random.default_rng(SEED)
    planted = {
        word: set(random.permutation(rows)[: round(rows * share)].tolist())
        for word, share in PLANTED.items()
    }
    for row in range(rows):
        words = random.choice(_VOCABULARY, size=WORDS_IN_A_ROW, p=_SHARES).tolist()
        for word, where in planted.items():
            if row in where:
                words[int(random.integers(WORDS_IN_A_ROW))] += f" {word}"
        yield " ".join(words)


def questions(count: int) -> list[str]:
    """Return questions of twelve words, common and rare as in the texts."""
    random = np.random.default_rng(SEED + 1)
    return [
        " ".join(random.choice(_VOCABULARY, size=WORDS_IN_A_QUESTION, p=_SHARES))
        for _ in range(count)
    ]
