"""Populations of tenants, drawn from passages of real text with a seed.

`one` has all passages in one tenant. `skewed` has a package in each tenant. `many` has tenants of
50 to 2,000 rows in a Pareto distribution: most have little more than 50, and a few are large. A
passage occurs in up to four of them, and never twice in one.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from bench.vectors import Vectors

    Floats = NDArray[np.float64]

SEED: Final = 20_261_129
COPIES: Final = 4
SMALLEST, LARGEST = 50, 2_000


@dataclass(frozen=True)
class Corpus:
    """Passages with their embeddings and packages, and the embedded queries of each package."""

    texts: Sequence[str]
    vectors: Vectors
    packages: Sequence[str]
    queries: Mapping[str, Vectors]
    query_texts: Mapping[str, Sequence[str]]

    @property
    def dimensions(self) -> int:
        """The number of components of a vector."""
        return int(self.vectors.shape[1])

    def query_count(self, passages: Sequence[int]) -> int:
        """Return how many queries the packages of these passages have."""
        names = {self.packages[passage] for passage in passages}
        return sum(len(self.queries.get(name, ())) for name in names)

    def rotated(self, dimensions: int) -> Corpus:
        """Return the corpus with all vectors rotated into a space of more dimensions.

        The rotation keeps every distance, so the nearest rows are those of the real text.
        """
        random = np.random.default_rng(SEED)
        basis, _ = np.linalg.qr(random.standard_normal((dimensions, self.dimensions)))
        rotation = basis.T.astype(np.float32)
        queries = {name: vectors @ rotation for name, vectors in self.queries.items()}
        return replace(self, vectors=self.vectors @ rotation, queries=queries)


@dataclass(frozen=True)
class Population:
    """The rows of tenants, in the order in which they are loaded: interleaved."""

    name: str
    rows: Sequence[tuple[str, int]]
    """The tenant and the passage of each row."""

    def by_tenant(self) -> Mapping[str, Sequence[int]]:
        """Return the passages of each tenant."""
        passages: dict[str, list[int]] = defaultdict(list)
        for tenant, passage in self.rows:
            passages[tenant].append(passage)
        return passages

    def tenants_of_about(self, *sizes: int, corpus: Corpus, queries: int) -> Sequence[str]:
        """Return the tenants whose sizes are nearest to `sizes`, and the largest tenant.

        The packages of each have at least so many `queries`.
        """
        rows = {
            tenant: len(passages)
            for tenant, passages in self.by_tenant().items()
            if corpus.query_count(passages) >= queries
        }
        nearest = [min(rows, key=lambda tenant: abs(rows[tenant] - size)) for size in sizes]
        return list(dict.fromkeys([*nearest, max(rows, key=lambda tenant: rows[tenant])]))


def populations(corpus: Corpus, *, tenants: int, rows: int) -> Sequence[Population]:
    """Return the three populations; `tenants` and `rows` are the size of `many`."""
    passages = range(len(corpus.texts))
    one = [("all", passage) for passage in passages]
    skewed = [(corpus.packages[passage], passage) for passage in passages]
    many = _many(corpus, tenants=tenants, rows=min(rows, COPIES * len(corpus.texts)))
    return [
        Population(name, _interleaved(drawn))
        for name, drawn in (("one", one), ("skewed", skewed), ("many", many))
    ]


def alone(population: Population, tenant: str) -> Population:
    """Return a population of one of the tenants."""
    rows = [row for row in population.rows if row[0] == tenant]
    return Population(f"{population.name}, {tenant} alone", rows)


def fewer(population: Population, tenants: Iterable[str], *, parts: int) -> Population:
    """Return the population with one in so many of its tenants, among them `tenants`."""
    others = sorted({name for name, _ in population.rows}.difference(tenants))
    chosen = {*tenants, *others[::parts]}
    rows = [row for row in population.rows if row[0] in chosen]
    return Population(f"{population.name}, a tenant in {parts}", rows)


def tenant_sizes(tenants: int, rows: int) -> Sequence[int]:
    """Return the rows of each tenant, ascending, which add up to `rows`.

    They are the quantiles of a Pareto distribution from 50 to 2,000 rows, with the exponent that
    its mean needs. A population that is too small for these bounds has narrower ones.
    """
    smallest = min(SMALLEST, rows // (2 * tenants))
    largest = min(LARGEST, max(rows // 10, 2 * rows // tenants))
    flat, steep = 0.01, 8.0
    for _ in range(60):
        exponent = (flat + steep) / 2
        mean_is_high = _quantiles(tenants, exponent, smallest, largest).sum() > rows
        flat, steep = (exponent, steep) if mean_is_high else (flat, exponent)
    sizes = _quantiles(tenants, steep, smallest, largest)
    ends = np.round(np.cumsum(sizes) * rows / sizes.sum()).astype(int)
    return [int(size) for size in np.diff(ends, prepend=0)]


def _quantiles(tenants: int, exponent: float, smallest: int, largest: int) -> Floats:
    beyond = 1 - (smallest / largest) ** exponent
    sizes: Floats = smallest * (1 - np.linspace(0, 1, tenants) * beyond) ** (-1 / exponent)
    return sizes


def _many(corpus: Corpus, *, tenants: int, rows: int) -> list[tuple[str, int]]:
    sizes = np.random.default_rng(SEED).permutation(tenant_sizes(tenants, rows))
    # A tenant stores neighbouring passages, as the passages of a package are about one subject.
    drawn: list[tuple[str, int]] = []
    start = 0
    for number, size in enumerate(sizes):
        tenant = f"tenant-{number:04d}"
        drawn.extend((tenant, (start + step) % len(corpus.texts)) for step in range(size))
        start += int(size)
    return drawn


def _interleaved(rows: Sequence[tuple[str, int]]) -> Sequence[tuple[str, int]]:
    order = np.random.default_rng(SEED).permutation(len(rows))
    return [rows[place] for place in order]
