"""What an answer is worth. Pure: no database, no I/O."""

from __future__ import annotations

from math import ceil, log2
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def ndcg(ranking: Sequence[str], grades: Mapping[str, int], *, depth: int) -> float:
    """Return the normalised discounted cumulative gain of the first `depth` documents, 0 to 1.

    A document's gain is its grade, discounted by log2(rank + 1); the ideal is over all judged
    documents. At least one grade is above 0. Source: Järvelin and Kekäläinen, "Cumulated gain-based
    evaluation of IR techniques", TOIS 2002, with the discount of trec_eval.
    """
    ideal = sorted(grades.values(), reverse=True)[:depth]
    return _discounted([grades.get(document, 0) for document in ranking[:depth]]) / _discounted(
        ideal
    )


def recall(ranking: Sequence[str], grades: Mapping[str, int], *, depth: int) -> float:
    """Return the share of the relevant documents, those with a grade above 0, that is among the first `depth`, 0 to 1."""
    relevant = {document for document, grade in grades.items() if grade > 0}
    return len(relevant & set(ranking[:depth])) / len(relevant)


def percentile(values: Sequence[float], percent: int) -> float:
    """Return the smallest of the values that at least `percent` in a hundred do not exceed (the nearest rank)."""
    return sorted(values)[max(1, ceil(len(values) * percent / 100)) - 1]


def _discounted(gains: Sequence[int]) -> float:
    return sum(gain / log2(rank + 1) for rank, gain in enumerate(gains, start=1))
