"""Measures of a ranking, and percentiles. They are pure functions."""

from __future__ import annotations

from math import ceil, log2
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def ndcg(ranking: Sequence[str], grades: Mapping[str, int], *, depth: int) -> float:
    """Return the normalized discounted cumulative gain of the first `depth` documents, 0 to 1.

    The gain of a document is its grade, discounted by log2(rank + 1). The ideal ranking has all
    judged documents. Source: Järvelin and Kekäläinen, "Cumulated gain-based evaluation of IR
    techniques", TOIS 2002, with the discount of trec_eval.

    Args:
        ranking: ids of documents, best first.
        grades: grades of the judged documents; at least one is above 0.
        depth: number of documents to count.
    """
    ideal = sorted(grades.values(), reverse=True)[:depth]
    gains = [grades.get(document, 0) for document in ranking[:depth]]
    return _discounted(gains) / _discounted(ideal)


def recall(ranking: Sequence[str], grades: Mapping[str, int], *, depth: int) -> float:
    """Return the share of the relevant documents that is among the first `depth`, 0 to 1."""
    relevant = {document for document, grade in grades.items() if grade > 0}
    return len(relevant & set(ranking[:depth])) / len(relevant)


def hit(ranking: Sequence[str], grades: Mapping[str, int], *, depth: int) -> float:
    """Return 1 if a relevant document is among the first `depth`, otherwise 0."""
    return float(any(grades.get(document, 0) > 0 for document in ranking[:depth]))


def reciprocal_rank(ranking: Sequence[str], grades: Mapping[str, int]) -> float:
    """Return 1 / rank of the first relevant document; 0 if the ranking has none.

    The mean over queries is the MRR. Source: Voorhees, "The TREC-8 Question Answering Track
    Report", 1999.
    """
    ranks = enumerate(ranking, start=1)
    return next((1 / rank for rank, document in ranks if grades.get(document, 0) > 0), 0.0)


def percentile(values: Sequence[float], percent: int) -> float:
    """Return the smallest value that at least `percent` % do not exceed (the nearest rank)."""
    return sorted(values)[max(1, ceil(len(values) * percent / 100)) - 1]


def _discounted(gains: Sequence[int]) -> float:
    return sum(gain / log2(rank + 1) for rank, gain in enumerate(gains, start=1))
