"""Bulk writes.

Entities through the repositories, beside the driver's own fastest ways with rows that are ready.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from operator import itemgetter
from typing import Any

import numpy as np

from bench.measuring import SECONDS, Figure, Way, compare, driver_of
from bench.peers.ways import Others
from domain import KnowledgeChunk, TelemetryEvent, Vector
from repositories import Database

_STEMS = ("retry", "cache", "token", "query", "index", "parse")
WORDS = [f"{stem}{ending}" for stem in _STEMS for ending in ("", "ing", "er", "ed", "s")]
COLUMNS = (
    "tenant",
    "id",
    "chunk_id",
    "repo",
    "source",
    "source_type",
    "title",
    "content",
    "metadata",
    "content_hash",
    "embedding",
)


def chunks(count: int, dimensions: int, *, start: int = 0) -> list[KnowledgeChunk]:
    """Return chunks of about 60 words, each with a random embedding."""
    rng = random.Random(start)  # noqa: S311 -- made-up data, no secret
    embeddings = np.random.default_rng(start).standard_normal((count, dimensions), dtype=np.float32)
    return [
        KnowledgeChunk(
            chunk_id=f"chunk-{number}",
            source=f"docs/{number % 97}.md",
            source_type="doc",
            title=f"Passage {number}",
            content=" ".join(rng.choices(WORDS, k=60)),
            metadata_={"number": number},
            embedding=Vector(embedding),
        )
        for number, embedding in enumerate(embeddings, start)
    ]


def record(chunk: KnowledgeChunk) -> tuple[object, ...]:
    values = {**vars(chunk), "metadata": json.dumps(chunk.metadata_)}
    return tuple(values[name] for name in COLUMNS)


EVENT_COLUMNS = tuple(TelemetryEvent.model_fields)
WITH_INDEX = 10
"""Rows that meet a vector index are so many times fewer: each takes milliseconds."""

SECONDS_A_ROW = 0.04
"""How long each way is measured for each row that meets a vector index, at least.

The graph of such an index differs from run to run, and with it the time by a tenth.
"""

FIRST_LOAD = 10_000
"""Rows of the first load that is compared with the index in place.

That takes 10 to 40 ms for each row: the larger the index, the longer.
"""

PART = 200
"""Rows of one unit of work where they meet a vector index: a statement has thirty seconds."""

RAW_UPSERT = f"""
INSERT INTO knowledge ({", ".join(COLUMNS)})
SELECT * FROM unnest($1::text[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[],
                     $7::text[], $8::text[], $9::jsonb[], $10::bytea[], $11::vector[])
ON CONFLICT (tenant, repo, chunk_id) DO UPDATE SET
  source = excluded.source, source_type = excluded.source_type, title = excluded.title,
  content = excluded.content, metadata = excluded.metadata, content_hash = excluded.content_hash,
  embedding = excluded.embedding, updated_at = now()
"""


async def measure(
    database: Database,
    new: Sequence[KnowledgeChunk],
    loaded: Sequence[KnowledgeChunk],
    *,
    others: Others,
    events: int,
    rounds: int,
) -> Sequence[Figure]:
    """Compare bulk writes of chunks and telemetry, and an initial load.

    What is `loaded` stays in the database.
    """
    await _execute(database, "DROP INDEX ix_knowledge_embedding")
    without = await _chunks(
        database,
        "without a vector index",
        new,
        others.writing(len(new), indexed=False),
        rounds=rounds,
    )
    await database.migrate()  # builds the index again
    few = new[: len(new) // WITH_INDEX]
    within = await _chunks(
        database,
        "into a vector index",
        few,
        others.writing(len(few), indexed=True),
        rounds=rounds,
        seconds=SECONDS_A_ROW * len(few),
    )
    recorded = await _events(database, events, rounds=rounds)
    first_load = await _first_load(database, loaded[:FIRST_LOAD])
    await _empty(database)
    await _load(database, loaded)
    return [*without, *within, *recorded, *first_load]


async def _chunks(
    database: Database,
    where: str,
    new: Sequence[KnowledgeChunk],
    others: Sequence[Way],
    *,
    rounds: int,
    seconds: float = SECONDS,
) -> Sequence[Figure]:
    records = [record(chunk) for chunk in new]
    batches = [
        sorted(records[start : start + 1_000], key=itemgetter(3, 2))
        for start in range(0, len(records), 1_000)
    ]

    async def copy() -> None:
        await _copy(database, "knowledge", records, COLUMNS)

    async def raw_upsert() -> None:
        async with database.engine.begin() as connection:
            driver = await driver_of(connection)
            async with driver.transaction():
                for batch in batches:
                    await driver.execute(RAW_UPSERT, *map(list, zip(*batch, strict=True)))

    async def half() -> None:
        await _empty(database)
        await _copy(database, "knowledge", records[::2], COLUMNS)

    add = Way(
        name="knowledge.add_many",
        run=partial(_add_many, database, new),
        prepare=partial(_empty, database),
    )
    upsert = Way(
        name="knowledge.upsert_many", run=partial(_upsert_many, database, new), prepare=half
    )
    added = [
        Way(name="COPY by the driver", run=copy, prepare=partial(_empty, database)),
        add,
        *others,
    ]
    upserted = [Way(name="INSERT from unnest by the driver", run=raw_upsert, prepare=half), upsert]
    return [
        *await compare(
            f"write {len(new):,} chunks {where}",
            added,
            rounds=rounds,
            seconds=seconds,
            size=len(new),
        ),
        *await compare(
            f"upsert {len(new):,} chunks {where}, half existing",
            upserted,
            rounds=rounds,
            seconds=seconds,
            size=len(new),
        ),
    ]


async def _first_load(database: Database, new: Sequence[KnowledgeChunk]) -> Sequence[Figure]:
    empty = partial(_empty, database)
    ways = [
        Way(name="Database.initial_load", run=partial(_load, database, new), prepare=empty),
        Way(
            name="knowledge.add_many, index in place",
            run=partial(_in_parts, database, new),
            prepare=empty,
        ),
    ]
    return await compare(
        f"load {len(new):,} chunks and have them indexed",
        ways,
        rounds=1,
        warming=0,
        seconds=0,
        size=len(new),
    )


async def _load(database: Database, new: Sequence[KnowledgeChunk]) -> None:
    async with database.initial_load(KnowledgeChunk):
        await _in_parts(database, new)


async def _events(database: Database, count: int, *, rounds: int) -> Sequence[Figure]:
    moment, cost = datetime.now(UTC), Decimal("0.01234567")
    run: dict[str, Any] = {
        "repo": "acme/api",
        "pr_number": 7,
        "pr_author": "ada",
        "event_type": "review",
        "model": "m",
        "conclusion": "success",
    }
    spent: dict[str, Any] = {
        "input_tokens": 12_345,
        "output_tokens": 678,
        "duration_ms": 4_321,
        "cost_usd": cost,
        "created_at": moment,
    }
    events = [
        TelemetryEvent(delivery_id=f"delivery-{number}", **run, **spent) for number in range(count)
    ]
    records = [
        tuple(vars(event)[name] for name in EVENT_COLUMNS) for event in events
    ]  # all that record_many writes

    async def copy() -> None:
        await _copy(database, "telemetry_events", records, EVENT_COLUMNS)

    async def record_many() -> None:
        async with database.unit_of_work() as uow:
            await uow.telemetry.record_many(events)
            await uow.commit()

    empty = partial(_empty, database)
    ways = [
        Way(name="COPY by the driver", run=copy, prepare=empty),
        Way(name="telemetry.record_many", run=record_many, prepare=empty),
    ]
    return await compare(f"record {count:,} events", ways, rounds=rounds, size=count)


async def _copy(
    database: Database, table: str, records: Sequence[tuple[object, ...]], columns: Sequence[str]
) -> None:
    async with database.engine.begin() as connection:
        driver = await driver_of(connection)
        await driver.copy_records_to_table(table, records=records, columns=columns)


async def _add_many(database: Database, new: Sequence[KnowledgeChunk]) -> None:
    async with database.unit_of_work() as uow:
        await uow.knowledge.add_many(new)
        await uow.commit()


async def _in_parts(database: Database, new: Sequence[KnowledgeChunk]) -> None:
    for start in range(0, len(new), PART):
        await _add_many(database, new[start : start + PART])


async def _upsert_many(database: Database, new: Sequence[KnowledgeChunk]) -> None:
    async with database.unit_of_work() as uow:
        await uow.knowledge.upsert_many(new)
        await uow.commit()


async def _empty(database: Database) -> None:
    await _execute(database, "TRUNCATE knowledge, telemetry_events")


async def _execute(database: Database, statement: str) -> None:
    async with database.engine.begin() as connection:
        await connection.exec_driver_sql(statement)
