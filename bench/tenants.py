"""Measure the searches of one tenant among many, on real text: `python -m bench.tenants --help`.

Three populations of tenants are loaded interleaved, in the default layout. Queries are first lines
of docstrings: in distribution from the tenant's own packages, out of distribution from others.
Recall is measured against an exact search over all rows of the tenant, and latency against other
databases with the same rows of the tenant.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import numpy as np
import typer
from pgvector import Vector
from rich.console import Console
from rich.table import Table
from uuid_utils.compat import uuid7

from bench.fixture import COLUMNS, server
from bench.machine import Machine
from bench.measuring import Figure
from bench.passages import installed_packages
from bench.populations import Corpus, Population, alone, fewer, populations
from bench.tenant_latency import Comparison, add_findings, compared, queries_of
from bench.tenant_recall import CurvePoint, K, TenantFigures, curve_of, figures_of, queries_by_kind
from bench.tenant_writes import MAX_RATIO, bulk_writes
from bench.vectors import normalized
from domain import KnowledgeChunk
from repositories import Database
from repositories.cli.demo.embedder import WordLlamaEmbedder

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence

    from repositories import EmbeddedServer

_notes: Final = Console(stderr=True)
SIZES: Final = (100, 1_000, 5_000)
"""Tenants of about these sizes are measured, and the largest."""

TENTH: Final = 10
WIDE: Final = 1_024
WIDE_ROWS: Final = 20_000
"""Rows of the population of wide embeddings, which are stored out of line."""

WRITE_ROUNDS: Final = 5

ALONE: Final = "alone"
TENTH_OF_TENANTS: Final = "a tenth of the tenants"
NO_SECURITY: Final = "no row-level security"
MAX_RATIOS: Final = {ALONE: 1.5, TENTH_OF_TENANTS: 1.2, NO_SECURITY: 1.5}
"""The most that a search may take of the time in the other database."""


@dataclass(frozen=True, kw_only=True)
class Size:
    """How much is measured: passages, tenants and rows of `many`, and queries of each kind."""

    passages: int
    tenants: int
    rows: int
    queries: int


FULL: Final = Size(passages=100_000, tenants=2_000, rows=200_000, queries=200)
QUICK: Final = Size(passages=1_500, tenants=30, rows=3_000, queries=20)


@dataclass(kw_only=True)
class Results:
    """Everything that was measured; the fields are the keys of the JSON."""

    size: Size
    passages: int
    machine: Machine | None = None
    tenants: list[TenantFigures] = field(default_factory=list)
    latency: list[Comparison] = field(default_factory=list)
    curve: list[CurvePoint] = field(default_factory=list)
    writes: list[Figure] = field(default_factory=list)


async def embedded_corpus(size: Size) -> Corpus:
    """Read and embed the passages of the installed packages, and queries about each package."""
    embedder = WordLlamaEmbedder.load()
    packages = installed_packages(max_passages=size.passages)
    # The queries about one package are out of distribution for every tenant.
    held_out = packages[len(packages) // 8]
    stored = [package for package in packages if package is not held_out]
    texts = [(package.name, text) for package in stored for text in package.passages]
    vectors = np.array(await embedder.embed([text for _, text in texts]), dtype=np.float32)
    nonzero = np.linalg.norm(vectors, axis=1) > 1e-3
    random = np.random.default_rng(7)
    queries, query_texts = {}, {}
    for package in packages:
        chosen = random.permutation(len(package.queries))[: size.queries]
        if len(chosen):
            query_texts[package.name] = [package.queries[int(place)] for place in chosen]
            embedded = await embedder.embed(query_texts[package.name])
            queries[package.name] = normalized(np.array(embedded, dtype=np.float32))
    return Corpus(
        [text for (_, text), has in zip(texts, nonzero, strict=True) if has],
        normalized(vectors[nonzero]),
        [name for (name, _), has in zip(texts, nonzero, strict=True) if has],
        queries,
        query_texts,
    )


async def measured(
    running: EmbeddedServer, corpus: Corpus, size: Size, *, recall_only: bool = False
) -> Results:
    """Load the populations, each into a database of its own, and measure some of their tenants."""
    results = Results(size=size, passages=len(corpus.texts))
    rounds = WRITE_ROUNDS if size.queries >= FULL.queries else 1
    for population in populations(corpus, tenants=size.tenants, rows=size.rows):
        bench = _Bench(running, corpus, population, results, recall_only)
        async with bench.loaded() as database:
            await bench.measure_tenants(database)
            if population.name == "one" and not recall_only:
                results.curve = await curve_of(database, corpus, population, size.queries)
            if population.name == "many" and not recall_only:
                await bench.compare_with_fewer_tenants(database)
                await bench.compare_row_level_security(database)
                results.writes += await bulk_writes(database, corpus, rounds=rounds)
            results.machine = await Machine.of(database)
    rows = min(WIDE_ROWS, size.rows)
    wide = corpus.rotated(WIDE)
    *_, population = populations(wide, tenants=max(1, size.tenants * rows // size.rows), rows=rows)
    bench = _Bench(running, wide, population, results, recall_only)
    async with bench.loaded() as database:
        await bench.measure_tenants(database)
    return results


@dataclass(frozen=True)
class _Bench:
    """Measures the tenants of one population, and adds the figures to the results."""

    running: EmbeddedServer
    corpus: Corpus
    population: Population
    results: Results
    recall_only: bool

    @asynccontextmanager
    async def loaded(
        self, population: Population | None = None, **settings: Any
    ) -> AsyncIterator[Database]:
        """Open a new database with the rows of a population and a finding about each."""
        rows = population or self.population
        _notes.print(f"loading {rows.name}: {len(rows.rows):,} rows")
        url = self.running.create_database(f"tenants_{uuid7().hex}").get_secret_value()
        async with self._opened(url) as database:
            await load(database, self.corpus, rows)
            await add_findings(database, self.corpus, rows)
            await database.maintain()
            await database.vacuum()  # autovacuum does the same within a minute
        async with self._opened(url, **settings) as database:
            yield database

    def _opened(self, url: str, **settings: Any) -> Database:
        unlimited = {"statement_timeout": 0, "idle_in_transaction_timeout": 0}
        options: dict[str, Any] = {"embedding_dimensions": self.corpus.dimensions, **unlimited}
        return Database.from_url(url, migrate=True, **options, **settings)

    async def measure_tenants(self, database: Database) -> None:
        """Measure some tenants, each in the database and in one of its own."""
        for tenant in self._tenants():
            _notes.print(f"measuring {tenant}")
            if len(self.population.by_tenant()) == 1:  # it is alone
                await self._measure_recall(database, database, tenant)
                continue
            async with self.loaded(alone(self.population, tenant)) as own:
                await self._measure_recall(database, own, tenant)
                if not self.recall_only:
                    await self._compare(database, own, tenant, ALONE)

    async def _measure_recall(self, database: Database, own: Database, tenant: str) -> None:
        passages = self.population.by_tenant()[tenant]
        queries = queries_by_kind(self.corpus, passages, self.results.size.queries)
        for kind, vectors in queries.items():
            self.results.tenants.append(
                await figures_of(database, own, self.corpus, self.population, tenant, kind, vectors)
            )

    def _tenants(self) -> Sequence[str]:
        queries = self.results.size.queries
        return self.population.tenants_of_about(*SIZES, corpus=self.corpus, queries=queries)

    async def compare_with_fewer_tenants(self, database: Database) -> None:
        """Compare with a database that has a tenth of the tenants."""
        tenants = self._tenants()
        async with self.loaded(fewer(self.population, tenants, parts=TENTH)) as other:
            for tenant in tenants:
                await self._compare(database, other, tenant, TENTH_OF_TENANTS)

    async def compare_row_level_security(self, database: Database) -> None:
        """Compare a database with row-level security with this one, which has none."""
        async with self.loaded(row_level_security=True) as protected:
            for tenant in self._tenants():
                await self._compare(protected, database, tenant, NO_SECURITY)

    async def _compare(
        self, database: Database, other: Database, tenant: str, reference: str
    ) -> None:
        passages = self.population.by_tenant()[tenant]
        self.results.latency += await compared(
            database,
            other,
            reference=reference,
            population=f"{self.population.name}, {self.corpus.dimensions} dimensions",
            tenant=tenant,
            rows=len(passages),
            queries=queries_of(self.corpus, passages, self.results.size.queries),
        )


async def load(database: Database, corpus: Corpus, population: Population) -> None:
    """Load the rows as an application would: in an initial load, in the order of the population."""
    async with database.initial_load(KnowledgeChunk), database.engine.begin() as connection:
        driver: Any = (await connection.get_raw_connection()).driver_connection
        await connection.exec_driver_sql("SELECT 1")
        await driver.copy_records_to_table(
            "knowledge", records=_records(corpus, population), columns=COLUMNS
        )
    await database.engine.dispose()


def _records(corpus: Corpus, population: Population) -> Iterator[tuple[Any, ...]]:
    for number, (tenant, passage) in enumerate(population.rows):
        text = corpus.texts[passage]
        digest, package = hashlib.sha256(text.encode()).digest(), corpus.packages[passage]
        vector = Vector(corpus.vectors[passage])
        name = f"{number} {passage}"
        yield tenant, uuid7(), name, package, package, "code", text, "{}", digest, vector


def table(results: Results) -> Table:
    """Return the figures as a table."""
    shown = Table(title="Vector search of one tenant among many", title_justify="left")
    headings = ("dimensions", "queries", "recall@10", "lowest", "< 0.5")
    for heading in ("population", "tenant", "rows", *headings):
        shown.add_column(heading)
    for heading in ("exact", "p50 ms", "alone ms", "exact scan ms"):
        shown.add_column(heading, justify="right")
    for one in results.tenants:
        shown.add_row(
            *(one.population, one.tenant, f"{one.rows:,}", f"{one.dimensions:,}", one.queries),
            *(f"{one.recall:.3f}", f"{one.lowest_recall:.1f}", f"{one.below_half:.1%}"),
            *(f"{one.exact:.0%}", f"{one.p50:.1f}", f"{one.alone_p50:.1f}", f"{one.exact_p50:.1f}"),
        )
    return shown


def latency_table(results: Results) -> Table:
    """Return the comparisons as a table."""
    shown = Table(title="Latency, and in the other database", title_justify="left")
    for heading in ("population", "tenant", "search", "other database"):
        shown.add_column(heading)
    for heading in ("rows", "p50 ms", "other", "ratio", "p95 ms", "other"):
        shown.add_column(heading, justify="right")
    for one in results.latency:
        shown.add_row(
            *(one.population, one.tenant, one.search, one.reference, f"{one.rows:,}"),
            *(f"{one.p50:.1f}", f"{one.reference_p50:.1f}", f"{one.ratio:.2f}"),
            *(f"{one.p95:.1f}", f"{one.reference_p95:.1f}"),
        )
    return shown


def writes_table(results: Results) -> Table:
    """Return the bulk writes as a table."""
    shown = Table(title="Bulk writes among many tenants", title_justify="left")
    for heading in ("work", "way", "seconds", "x COPY"):
        shown.add_column(heading)
    for one in results.writes:
        shown.add_row(one.work, one.way, f"{one.seconds:.2f}", f"{one.ratio:.2f}")
    return shown


def misses(results: Results) -> Iterator[str]:
    """Yield a sentence for each target that a tenant misses.

    Times and writes are judged from 200 queries on. Keyword and hybrid search behind row-level
    security have no target, and are published.
    """
    for one in results.tenants:
        name = f"{one.population}, {one.tenant}, {one.queries}"
        if one.recall < 0.95 or one.below_half > 0.01:
            yield f"{name}: recall {one.recall:.3f}, {one.below_half:.1%} of the queries under 0.5"
        if one.fewest_rows < min(K, one.rows):
            yield f"{name}: {one.fewest_rows} rows"
    if results.size.queries < FULL.queries:
        return
    for figure in results.writes:
        if figure.ratio > MAX_RATIO:
            yield f"{figure.work}, {figure.way}: {figure.ratio:.2f} x COPY, at most {MAX_RATIO:.2f}"
    for pair in results.latency:
        most = MAX_RATIOS[pair.reference]
        published = pair.reference == NO_SECURITY and pair.search != "vector"
        if pair.ratio > most and not published:
            yield (
                f"{pair.population}, {pair.tenant}, {pair.search}:"
                f" {pair.ratio:.2f} x {pair.reference}, at most {most}"
            )


def main(
    quick: Annotated[bool, typer.Option("--quick", help="Measure fewer rows.")] = False,  # noqa: FBT002 -- an option
    passages: Annotated[int, typer.Option(help="Passages at most.")] = FULL.passages,
    tenants: Annotated[int, typer.Option(help="Tenants of the population `many`.")] = FULL.tenants,
    rows: Annotated[int, typer.Option(help="Rows of the population `many`.")] = FULL.rows,
    queries: Annotated[int, typer.Option(help="Queries of each kind.")] = FULL.queries,
    postgres: Annotated[int | None, typer.Option(help="PostgreSQL's major version.")] = None,
    recall: Annotated[bool, typer.Option("--recall", help="Measure recall only.")] = False,  # noqa: FBT002 -- an option
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Also write the figures as JSON.")
    ] = None,
) -> None:
    """Measure vector search of one tenant among many, and exit with 1 if a target is missed."""
    size = Size(passages=passages, tenants=tenants, rows=rows, queries=queries)
    results = asyncio.run(_run(QUICK if quick else size, postgres, recall_only=recall))
    if json_file is not None:
        json_file.write_text(json.dumps(asdict(results), indent=1) + "\n", encoding="utf-8")
    console = Console(width=None if Console().is_terminal else 160)
    console.print(table(results))
    if not recall:
        console.print(latency_table(results))
        console.print(writes_table(results))
    missed = list(misses(results))
    for sentence in missed:
        console.print(f"MISSED {sentence}", highlight=False)
    raise typer.Exit(1 if missed else 0)


async def _run(size: Size, version: int | None, *, recall_only: bool) -> Results:
    corpus = await embedded_corpus(size)
    with server(version) as running:
        return await measured(running, corpus, size, recall_only=recall_only)


if __name__ == "__main__":
    typer.run(main)
