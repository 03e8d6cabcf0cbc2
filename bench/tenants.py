"""Measure vector search of one tenant among many, on real text: `python -m bench.tenants --help`.

Three populations of tenants are loaded interleaved, in the default layout. Queries are first lines
of docstrings: in distribution from the tenant's own packages, out of distribution from others.
Recall is measured against an exact search over all rows of the tenant.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Annotated, Any, Final

import numpy as np
import typer
from pgvector import Vector
from rich.console import Console
from rich.table import Table
from uuid_utils.compat import uuid7

from bench.clock import median
from bench.fixture import COLUMNS, server
from bench.machine import Machine
from bench.passages import installed_packages
from bench.populations import Corpus, Population, alone, populations
from bench.vectors import Truth, normalized
from domain import KnowledgeChunk
from repositories import Database
from repositories.cli.demo.embedder import DIMENSIONS, WordLlamaEmbedder

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bench.vectors import Vectors
    from repositories import EmbeddedServer

K: Final = 10
SIZES: Final = (1_000, 5_000)
CURVE: Final = (20, 64, 100, 200, 400, 1_000)
CONTROL: Final = """
SELECT id FROM (SELECT id, embedding FROM knowledge WHERE tenant = $1 OFFSET 0) AS rows
ORDER BY embedding <=> $2, id LIMIT 10"""


@dataclass(frozen=True, kw_only=True)
class Size:
    """How much is measured: passages, tenants and rows of `many`, and queries of each kind."""

    passages: int
    tenants: int
    rows: int
    queries: int


FULL: Final = Size(passages=100_000, tenants=2_000, rows=200_000, queries=200)
QUICK: Final = Size(passages=1_500, tenants=30, rows=3_000, queries=20)


@dataclass(frozen=True, kw_only=True)
class TenantFigures:
    """The searches of one tenant with one kind of queries; times are in milliseconds.

    `exact_p50` is the same search as an exact scan of the tenant's rows on the driver. `below_half`
    is the share of queries with a recall under 0.5.
    """

    population: str
    tenant: str
    rows: int
    queries: str
    recall: float
    lowest_recall: float
    below_half: float
    fewest_rows: int
    exact: float
    p50: float
    alone_p50: float
    exact_p50: float


@dataclass(frozen=True, kw_only=True)
class CurvePoint:
    """Recall and latency of an HNSW index of `rows` rows with lists of `ef_search` candidates."""

    way: str
    ef_search: int
    recall: float
    below_half: float
    p50: float


@dataclass(kw_only=True)
class Results:
    """Everything that was measured; the fields are the keys of the JSON."""

    size: Size
    passages: int
    machine: Machine | None = None
    tenants: list[TenantFigures] = field(default_factory=list)
    curve: list[CurvePoint] = field(default_factory=list)


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
    queries = {}
    for package in packages:
        chosen = random.permutation(len(package.queries))[: size.queries]
        if len(chosen):
            embedded = await embedder.embed([package.queries[int(place)] for place in chosen])
            queries[package.name] = normalized(np.array(embedded, dtype=np.float32))
    return Corpus(
        [text for (_, text), has in zip(texts, nonzero, strict=True) if has],
        normalized(vectors[nonzero]),
        [name for (name, _), has in zip(texts, nonzero, strict=True) if has],
        queries,
    )


async def measured(running: EmbeddedServer, corpus: Corpus, size: Size) -> Results:
    """Load the populations, each into a database of its own, and measure some of their tenants."""
    results = Results(size=size, passages=len(corpus.texts))
    notes = Console(stderr=True)
    for population in populations(corpus, tenants=size.tenants, rows=size.rows):
        url = running.create_database(f"tenants_{population.name}").get_secret_value()
        async with _opened(url) as database:
            notes.print(f"loading {population.name}: {len(population.rows):,} rows")
            await load(database, corpus, population)
            for tenant in population.tenants_of_about(*SIZES):
                notes.print(f"measuring {tenant}")
                results.tenants += await _tenant(
                    running, database, corpus, population, tenant, size
                )
            results.machine = await Machine.of(database)
        if population.name == "one":
            results.curve = await _curve(url, corpus, population, size)
    return results


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


async def _tenant(
    running: EmbeddedServer,
    database: Database,
    corpus: Corpus,
    population: Population,
    tenant: str,
    size: Size,
) -> Sequence[TenantFigures]:
    passages = population.by_tenant()[tenant]
    name = f"alone_{hashlib.sha256(f'{population.name} {tenant}'.encode()).hexdigest()[:12]}"
    figures = []
    async with _opened(running.create_database(name).get_secret_value()) as own:
        await load(own, corpus, alone(population, tenant))
        for kind, queries in _queries(corpus, passages, size).items():
            among, by_itself, control = [], [], []
            truth = Truth(corpus.vectors[passages], np.ones(len(passages), dtype=np.bool_))
            place = {passage: row for row, passage in enumerate(passages)}
            recalls, rows, exact = [], [], []
            for query in queries:
                hits, milliseconds = await _ask(database, tenant, query)
                among.append(milliseconds)
                by_itself.append((await _ask(own, tenant, query))[1])
                control.append(await _control(database, tenant, query))
                places = [place[int(hit.item.chunk_id.split()[1])] for hit in hits]
                recalls.append(truth.recall(query, places, k=K))
                rows.append(len(hits))
                exact.append(hits.exact)
            figures.append(
                TenantFigures(
                    population=population.name,
                    tenant=tenant,
                    rows=len(passages),
                    queries=kind,
                    recall=float(np.mean(recalls)),
                    lowest_recall=min(recalls),
                    below_half=float(np.mean(np.array(recalls) < 0.5)),
                    fewest_rows=min(rows),
                    exact=float(np.mean(exact)),
                    p50=median(among),
                    alone_p50=median(by_itself),
                    exact_p50=median(control),
                )
            )
    return figures


def _queries(corpus: Corpus, passages: Sequence[int], size: Size) -> dict[str, Vectors]:
    counts = Counter(corpus.packages[passage] for passage in passages)
    inside = [name for name, _ in counts.most_common() if name in corpus.queries]
    outside = [name for name in corpus.queries if name not in counts]
    return {
        "in distribution": _first(corpus, inside, size.queries),
        "out of distribution": _first(corpus, outside, size.queries),
    }


def _first(corpus: Corpus, names: Sequence[str], count: int) -> Vectors:
    return np.vstack([corpus.queries[name] for name in names])[:count]


async def _ask(database: Database, tenant: str, query: Vectors) -> tuple[Any, float]:
    async with database.reader(tenant=tenant) as view:
        started = perf_counter()
        hits = await view.knowledge.vector_search(query, limit=K)
        return hits, (perf_counter() - started) * 1_000


async def _control(database: Database, tenant: str, query: Vectors) -> float:
    async with database.read_engine.connect() as connection:
        started = perf_counter()
        await connection.exec_driver_sql(CONTROL, (tenant, Vector(query)))
        return (perf_counter() - started) * 1_000


async def _curve(url: str, corpus: Corpus, population: Population, size: Size) -> list[CurvePoint]:
    passages = population.by_tenant()["all"]
    truth = Truth(corpus.vectors[passages], np.ones(len(passages), dtype=np.bool_))
    place = {passage: row for row, passage in enumerate(passages)}
    queries = _first(corpus, list(corpus.queries), size.queries)
    points = []
    for ef_search in CURVE:
        async with _opened(url, ef_search=ef_search) as database:
            recalls, times = [], []
            for query in queries:
                hits, milliseconds = await _ask(database, "all", query)
                places = [place[int(hit.item.chunk_id.split()[1])] for hit in hits]
                recalls.append(truth.recall(query, places, k=K))
                times.append(milliseconds)
        points.append(
            CurvePoint(
                way=f"{len(passages):,} passages, one tenant",
                ef_search=ef_search,
                recall=float(np.mean(recalls)),
                below_half=float(np.mean(np.array(recalls) < 0.5)),
                p50=median(times),
            )
        )
    return points


def _opened(url: str, **settings: int) -> Database:
    options: dict[str, Any] = {"statement_timeout": 0, "idle_in_transaction_timeout": 0, **settings}
    return Database.from_url(url, migrate=True, embedding_dimensions=DIMENSIONS, **options)


def table(results: Results) -> Table:
    """Return the figures as a table."""
    shown = Table(title="Vector search of one tenant among many", title_justify="left")
    for heading in ("population", "tenant", "rows", "queries", "recall@10", "lowest", "< 0.5"):
        shown.add_column(heading)
    for heading in ("exact", "p50 ms", "alone ms", "exact scan ms"):
        shown.add_column(heading, justify="right")
    for one in results.tenants:
        shown.add_row(
            *(one.population, one.tenant, f"{one.rows:,}", one.queries),
            *(f"{one.recall:.3f}", f"{one.lowest_recall:.1f}", f"{one.below_half:.1%}"),
            *(f"{one.exact:.0%}", f"{one.p50:.1f}", f"{one.alone_p50:.1f}", f"{one.exact_p50:.1f}"),
        )
    return shown


def misses(results: Results) -> Iterator[str]:
    """Yield a sentence for each target that a tenant misses.

    Times are judged from 1,000 rows on; below, the client takes longer than the server.
    """
    for one in results.tenants:
        name = f"{one.population}, {one.tenant}, {one.queries}"
        if one.recall < 0.95 or one.below_half > 0.01:
            yield f"{name}: recall {one.recall:.3f}, {one.below_half:.1%} of the queries under 0.5"
        if one.fewest_rows < min(K, one.rows):
            yield f"{name}: {one.fewest_rows} rows"
        if results.size.queries >= FULL.queries and one.p50 > 1.5 * one.alone_p50:
            yield f"{name}: {one.p50:.1f} ms, alone {one.alone_p50:.1f} ms"


def main(
    quick: Annotated[bool, typer.Option("--quick", help="Measure fewer rows.")] = False,  # noqa: FBT002 -- an option
    passages: Annotated[int, typer.Option(help="Passages at most.")] = FULL.passages,
    tenants: Annotated[int, typer.Option(help="Tenants of the population `many`.")] = FULL.tenants,
    rows: Annotated[int, typer.Option(help="Rows of the population `many`.")] = FULL.rows,
    queries: Annotated[int, typer.Option(help="Queries of each kind.")] = FULL.queries,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Also write the figures as JSON.")
    ] = None,
) -> None:
    """Measure vector search of one tenant among many, and exit with 1 if a target is missed."""
    size = Size(passages=passages, tenants=tenants, rows=rows, queries=queries)
    results = asyncio.run(_run(QUICK if quick else size))
    if json_file is not None:
        json_file.write_text(json.dumps(asdict(results), indent=1) + "\n", encoding="utf-8")
    console = Console(width=None if Console().is_terminal else 160)
    console.print(table(results))
    missed = list(misses(results))
    for sentence in missed:
        console.print(f"MISSED {sentence}", highlight=False)
    raise typer.Exit(1 if missed else 0)


async def _run(size: Size) -> Results:
    corpus = await embedded_corpus(size)
    with server() as running:
        return await measured(running, corpus, size)


if __name__ == "__main__":
    typer.run(main)
