"""Populations of tenants, drawn from passages of real text with a seed.

`one` has all passages in one tenant. `skewed` has a package in each tenant. `many` has tenants of
very different sizes: drawn between 50 and 2,000 rows, then scaled to the rows of the population. A
passage occurs in up to four of them, and never twice in one.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bench.vectors import Vectors

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

    def tenants_of_about(self, *sizes: int) -> Sequence[str]:
        """Return the tenants whose sizes are nearest to `sizes`, and the largest tenant."""
        rows = {tenant: len(passages) for tenant, passages in self.by_tenant().items()}
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


def fewer(population: Population, tenant: str, *, parts: int) -> Population:
    """Return the population with one in so many of its tenants, among them `tenant`."""
    others = sorted({name for name, _ in population.rows} - {tenant})
    chosen = {tenant, *others[::parts]}
    rows = [row for row in population.rows if row[0] in chosen]
    return Population(f"{population.name}, a tenant in {parts}", rows)


def _many(corpus: Corpus, *, tenants: int, rows: int) -> list[tuple[str, int]]:
    random = np.random.default_rng(SEED)
    sizes = np.exp(random.uniform(np.log(SMALLEST), np.log(LARGEST), size=tenants))
    sizes = np.clip(np.round(sizes * rows / sizes.sum()), 1, len(corpus.texts)).astype(int)
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
