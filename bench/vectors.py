"""Vectors in clusters, and the exact answer to which are nearest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Vectors = NDArray[np.float32]
    Flags = NDArray[np.bool_]

SEED = 20_240_301
ROWS_IN_A_CLUSTER = 250
TIE = 1e-5
"""Distances that differ by less are equal: as near is as good."""


def normalized(vectors: Vectors) -> Vectors:
    unit: Vectors = (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype(np.float32)
    return unit


@dataclass(frozen=True)
class Space:
    """Unit vectors around cluster centres, the same ones every time.

    `near` is the direction that some filters are about.
    """

    vectors: Vectors
    centres: Vectors

    @classmethod
    def of(cls, rows: int, dimensions: int) -> Space:
        random = np.random.default_rng(SEED)
        centres = normalized(
            random.standard_normal(
                (max(20, rows // ROWS_IN_A_CLUSTER), dimensions), dtype=np.float32
            )
        )
        home = random.integers(len(centres), size=rows)
        noise = normalized(random.standard_normal((rows, dimensions), dtype=np.float32))
        return cls(normalized(centres[home] + noise), centres)

    @property
    def near(self) -> Vectors:
        first: Vectors = self.centres[0]
        return first

    def nearness(self) -> NDArray[np.intp]:
        """Return the rows in the order of their distance from `near`."""
        return np.argsort(-(self.vectors @ self.near), kind="stable")

    def queries(self, count: int, *, around: Vectors | None = None) -> Vectors:
        """Return queries like the vectors, or all of them around one direction."""
        random = np.random.default_rng(SEED + 1)
        home = (
            self.centres[random.integers(len(self.centres), size=count)]
            if around is None
            else around
        )
        return normalized(
            home
            + normalized(random.standard_normal((count, self.vectors.shape[1]), dtype=np.float32))
        )


@dataclass(frozen=True)
class Truth:
    """What is nearest among the rows that `there` says exist and meet the filter."""

    vectors: Vectors
    there: Flags

    def recall(self, query: Vectors, rows: list[int], *, k: int) -> float:
        """Return which share of `k` the rows rows make up that are as near as the k nearest."""
        distances = 1 - self.vectors @ query
        possible = np.sort(distances[self.there])[:k]
        if not len(possible):
            return 1.0
        good = [row for row in rows if self.there[row] and distances[row] <= possible[-1] + TIE]
        return min(len(good), len(possible)) / len(possible)
