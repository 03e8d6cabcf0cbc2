"""The parameters of BM25, by which keyword search ranks rows."""

from __future__ import annotations

from dataclasses import dataclass

from domain.errors import ConfigurationError
from domain.values.shown import shown


@dataclass(frozen=True, slots=True, kw_only=True)
class Bm25:
    """Parameters of BM25 (Robertson and Zaragoza, "The Probabilistic Relevance Framework", 2009).

    Attributes:
        k1: how much further occurrences of a word add, 0.1 to 10.
        b: how much long rows lose, 0 (nothing) to 1. The length is the number of different lexemes.
        title: how much a word in a title counts; a word in the text counts 1.
        summary: how much a word in a summary counts.

    Raises:
        ConfigurationError: a value is out of its range.
    """

    k1: float = 1.2
    b: float = 0.5
    title: float = 3.0
    summary: float = 2.0

    def __post_init__(self) -> None:
        bounds = {"k1": (0.1, 10), "b": (0, 1), "title": (1, 10), "summary": (1, 10)}
        for name, (least, most) in bounds.items():
            if not least <= getattr(self, name) <= most:
                raise ConfigurationError(
                    f"{name} must be between {least} and {most}, not {shown(getattr(self, name))}",
                    setting=f"bm25_{name}",
                )

    def weight(self, label: str) -> float:
        """Return how much a word counts in a column with this weight, A to D."""
        return {"A": self.title, "B": self.summary}.get(label, 1.0)


DEFAULT_BM25 = Bm25()
"""The parameters that were measured on prose and on the history of repositories."""
