"""The cost of each index and generated column in a bulk write.

`python -m bench.index_costs --json docs/explanation/measured/index_costs.json` measures, and
`python -m bench.index_costs --page` writes the tables of docs/explanation/index_costs.md.
"""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from itertools import chain, cycle, islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeAlias

import numpy as np
import psutil
import typer
from sqlalchemy import Text, bindparam, text

from bench import blocks
from bench.clock import median
from bench.fixture import server
from bench.machine import Machine
from bench.passages import installed_packages
from domain import (
    Category,
    Finding,
    KnowledgeChunk,
    LearningMemory,
    Outcome,
    Review,
    Severity,
    Vector,
)
from repositories import Database

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from pydantic import SecretStr

    from domain import UnitOfWork

EXPLANATION: Final = Path(__file__).parents[1] / "docs" / "explanation"
PAGE: Final = EXPLANATION / "index_costs.md"
MEASURED: Final = EXPLANATION / "measured" / "index_costs.json"
DIMENSIONS: Final = 256
"""So few that the covering index of embeddings exists."""

_INDEXES: Final = text("""
SELECT indexrelid::regclass::text AS name, pg_get_indexdef(indexrelid) AS definition,
       pg_relation_size(indexrelid) AS bytes, indisunique AS is_unique
FROM pg_index WHERE indrelid = to_regclass(:table) ORDER BY 1
""").bindparams(bindparam("table", type_=Text))
_GENERATED: Final = text("""
SELECT a.attname AS name, pg_get_expr(d.adbin, d.adrelid) AS expression
FROM pg_attribute a JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE a.attgenerated = 's' AND a.attrelid = to_regclass(:table) ORDER BY 1
""").bindparams(bindparam("table", type_=Text))


_PROCESSES: Final = text(
    "SELECT pid FROM pg_stat_activity"
    " WHERE datname = current_database() AND backend_type = 'client backend'"
)


@dataclass(frozen=True)
class Cost:
    """The cost of one index or generated column for a row.

    Attributes:
        table: the table.
        name: the index or column.
        bytes: its bytes a row.
        milliseconds: the processor time of the server for 1,000 rows.
        share: that time as a share of the whole write.
    """

    table: str
    name: str
    bytes: float
    milliseconds: float
    share: float


Write: TypeAlias = "Callable[[UnitOfWork], Awaitable[object]]"


def writes(rows: int) -> Mapping[str, Write]:
    """Return a bulk write of so many new rows for each table with keyword search."""
    packages = installed_packages(max_passages=rows)
    passages = list(islice(cycle(chain.from_iterable(one.passages for one in packages)), rows))
    drawn = np.random.default_rng(1).standard_normal((rows, DIMENSIONS), dtype=np.float32)
    embeddings = [Vector(row) for row in drawn]
    review = Review(repo="acme/api", pr_number=1)
    chunks = [
        KnowledgeChunk(
            chunk_id=f"chunk-{number}",
            source=f"docs/{number % 97}.md",
            source_type="doc",
            content=passage,
            metadata_={"number": number},
            embedding=embedding,
            embedding_model="model",
        )
        for number, (passage, embedding) in enumerate(zip(passages, embeddings, strict=True))
    ]
    memories = [
        LearningMemory(
            repo="acme/api",
            source_repo="acme/api",
            owner="acme",
            file_path="src/api.py",
            finding_text=passage[:300],
            severity=Severity.MAJOR,
            category=Category.CORRECTNESS,
            outcome=Outcome.ACCEPTED,
            embedding=embedding,
            embedding_model="model",
            embedding_dim=DIMENSIONS,
        )
        for passage, embedding in zip(passages, embeddings, strict=True)
    ]
    findings = [
        Finding(
            review_id=review.id,
            repo="acme/api",
            file_path="src/api.py",
            severity=Severity.MAJOR,
            category=Category.CORRECTNESS,
            confidence=90,
            title=passage[:200],
        )
        for passage in passages
    ]

    async def write_findings(uow: UnitOfWork) -> None:
        uow.reviews.add(review.model_copy())
        await uow.flush()
        await uow.findings.add_many(findings)

    return {
        "knowledge": lambda uow: uow.knowledge.add_many(chunks),
        "learning_memories": lambda uow: uow.memories.write_many(memories),
        "findings": write_findings,
    }


async def measure(
    database: Database, table: str, write: Write, *, rows: int, rounds: int
) -> list[Cost]:
    """Write with all indexes and without each of them in turn, and evaluate each column alone."""
    indexes = [one for one in await _read(database, _INDEXES, table) if not one["is_unique"]]
    times: dict[str, list[float]] = defaultdict(list)
    for _ in range(rounds):
        for index in indexes:
            async with _without(database, index):
                times[index["name"]].append(await _written(database, table, write))
        times[""].append(await _written(database, table, write))
    total = max(1.0, median(times[""]))  # the clock ticks every ten milliseconds
    sizes = {one["name"]: one["bytes"] for one in await _read(database, _INDEXES, table)}

    def cost(name: str, bytes_: float, milliseconds: float) -> Cost:
        return Cost(table, name, bytes_ / rows, 1_000 * milliseconds / rows, milliseconds / total)

    costs = [cost("the whole write", 0, total)]
    for column in await _read(database, _GENERATED, table):
        bytes_, milliseconds = await _evaluated(database, table, column, rounds=rounds)
        costs.append(cost(column["name"], bytes_, milliseconds))
    costs += [
        cost(name, bytes_, total - median(times[name]))
        for name, bytes_ in sizes.items()
        if name in times
    ]
    return costs


async def _written(database: Database, table: str, write: Write) -> float:
    async with database.engine.begin() as connection:
        await connection.execute(text(f"TRUNCATE {table}, reviews CASCADE"))
    began = await _server_milliseconds(database)
    async with database.unit_of_work() as uow:
        await write(uow)
        await uow.commit()
    return await _server_milliseconds(database) - began


async def _evaluated(
    database: Database, table: str, column: Mapping[str, Any], *, rounds: int
) -> tuple[float, float]:
    measured = []
    async with database.engine.connect() as connection:
        # The expressions have colons, so the driver sends them.
        driver: Any = (await connection.get_raw_connection()).driver_connection
        process = psutil.Process(driver.get_server_pid())
        for _ in range(rounds):
            began = _milliseconds(process)
            await driver.fetchval(f"SELECT count({column['expression']}) FROM {table}")
            measured.append(_milliseconds(process) - began)
        size = await driver.fetchval(f"SELECT sum(pg_column_size({column['name']})) FROM {table}")
    return float(size), median(measured)


async def _server_milliseconds(database: Database) -> float:
    async with database.engine.connect() as connection:
        processes = (await connection.execute(_PROCESSES)).scalars()
        return sum(_milliseconds(psutil.Process(process)) for process in processes)


def _milliseconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return 1_000 * (times.user + times.system)


@asynccontextmanager
async def _without(database: Database, index: Mapping[str, Any]) -> AsyncIterator[None]:
    async with database.engine.begin() as connection:
        await connection.exec_driver_sql(f"DROP INDEX {index['name']}")
    yield
    async with database.engine.begin() as connection:
        await connection.exec_driver_sql(index["definition"])


async def _read(database: Database, statement: Any, table: str) -> Sequence[Mapping[str, Any]]:
    async with database.engine.connect() as connection:
        rows = (await connection.execute(statement, {"table": table})).mappings()
        return [dict(row) for row in rows]


def tables(measured: Mapping[str, Any]) -> str:
    """Return the machine and a table for each table of the database."""
    costs = [Cost(**one) for one in measured["costs"]]
    head = ("index or column", "bytes a row", "ms for 1,000 rows", "share of the write")
    parts = [Machine(**measured["machine"]).described()]
    for table in dict.fromkeys(one.table for one in costs):
        rows = [
            (f"`{one.name}`", f"{one.bytes:,.0f}", f"{one.milliseconds:,.0f}", f"{one.share:.0%}")
            for one in costs
            if one.table == table
        ]
        parts.append(f"**{table}**\n\n{blocks.table(head, rows)}")
    return "\n\n".join(parts) + "\n"


def page(written: str, measured: Mapping[str, Any]) -> str:
    """Return the page with the tables replaced."""
    return blocks.filled(written, {"index_costs": tables(measured)})


async def measured_costs(url: SecretStr, *, rows: int, rounds: int) -> Mapping[str, Any]:
    """Measure all tables in a new database."""
    settings: dict[str, Any] = {"embedding_dimensions": DIMENSIONS, "pool_size": 1}
    async with Database.from_url(url, migrate=True, **settings) as database:
        costs = [
            cost
            for table, write in writes(rows).items()
            for cost in await measure(database, table, write, rows=rows, rounds=rounds)
        ]
        return {
            "machine": asdict(await Machine.of(database)),
            "rows": rows,
            "costs": [asdict(cost) for cost in costs],
        }


def main(
    rows: Annotated[int, typer.Option(help="Rows of each write.")] = 5_000,
    rounds: Annotated[int, typer.Option(help="Writes without each index.")] = 5,
    output: Annotated[Path | None, typer.Option("--json", help="File for the figures.")] = None,
    writes_page: Annotated[bool, typer.Option("--page", help="Write the page.")] = False,  # noqa: FBT002 -- an option
) -> None:
    if writes_page:
        figures = json.loads(MEASURED.read_text(encoding="utf-8"))
        PAGE.write_text(page(PAGE.read_text(encoding="utf-8"), figures), encoding="utf-8")
        return
    with server() as running:
        url = running.create_database("index_costs")
        measured = asyncio.run(measured_costs(url, rows=rows, rounds=rounds))
    if output is not None:
        output.write_text(f"{json.dumps(measured, indent=1)}\n", encoding="utf-8")
    print(tables(measured))


if __name__ == "__main__":
    typer.run(main)
