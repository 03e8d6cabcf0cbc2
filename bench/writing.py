"""Bulk writes: entities through `add_many` and `upsert_many`, beside the driver's COPY and executemany of the same rows."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence

from bench.measuring import Figure, Way, compare, driver_of
from domain import KnowledgeChunk, TelemetryEvent, Vector
from repositories import Database

_STEMS = ("retry", "cache", "token", "query", "index", "parse")
WORDS = [f"{stem}{ending}" for stem in _STEMS for ending in ("", "ing", "er", "ed", "s")]
COLUMNS = ("tenant", "id", "chunk_id", "repo", "source", "source_type", "title", "content", "metadata", "content_hash", "embedding")


def chunks(count: int, dimensions: int, *, start: int = 0) -> list[KnowledgeChunk]:
    """Return chunks of about 60 words, each with a random embedding."""
    rng = random.Random(start)  # noqa: S311 -- made-up data, no secret
    return [
        KnowledgeChunk(
            chunk_id=f"chunk-{number}",
            source=f"docs/{number % 97}.md",
            source_type="doc",
            title=f"Passage {number}",
            content=" ".join(rng.choices(WORDS, k=60)),
            metadata_={"number": number},
            embedding=Vector([rng.gauss(0, 1) for _ in range(dimensions)]),
        )
        for number in range(start, start + count)
    ]


def record(chunk: KnowledgeChunk) -> tuple[object, ...]:
    values = {**vars(chunk), "metadata": json.dumps(chunk.metadata_)}
    return tuple(values[name] for name in COLUMNS)


async def measure(database: Database, *, rows: int, dimensions: int, rounds: int) -> Sequence[Figure]:
    """Compare ways to write `rows` chunks, with the vector index in place as the migrations make it, and telemetry."""
    new = chunks(rows, dimensions)
    records = [record(chunk) for chunk in new]
    events = [TelemetryEvent(repo="acme/api", event_type="review", model="m", conclusion="success") for _ in range(rows)]
    names = ("tenant", "id", "repo", "event_type", "model", "conclusion")
    event_records = [tuple(vars(event)[name] for name in names) for event in events]

    async def empty() -> None:
        async with database.engine.begin() as connection:
            await connection.exec_driver_sql("TRUNCATE knowledge, telemetry_events")

    async def copy_chunks() -> None:
        async with database.engine.begin() as connection:
            driver = await driver_of(connection)
            await driver.copy_records_to_table("knowledge", records=records, columns=COLUMNS)

    async def copy_events() -> None:
        async with database.engine.begin() as connection:
            driver = await driver_of(connection)
            await driver.copy_records_to_table("telemetry_events", records=event_records, columns=names)

    async def add_many() -> None:
        async with database.unit_of_work() as uow:
            await uow.knowledge.add_many(new)
            await uow.commit()

    async def upsert_many() -> None:
        async with database.unit_of_work() as uow:
            await uow.knowledge.upsert_many(new)
            await uow.commit()

    async def record_many() -> None:
        async with database.unit_of_work() as uow:
            await uow.telemetry.record_many(events)
            await uow.commit()

    written = [
        Way(name="COPY by the driver", run=copy_chunks, prepare=empty),
        Way(name="knowledge.add_many", run=add_many, prepare=empty),
        Way(name="knowledge.upsert_many, new rows", run=upsert_many, prepare=empty),
        Way(name="knowledge.upsert_many, all rows existing", run=upsert_many),
    ]
    recorded = [
        Way(name="COPY by the driver", run=copy_events, prepare=empty),
        Way(name="telemetry.record_many", run=record_many, prepare=empty),
    ]
    return [
        *await compare(f"write {rows:,} chunks of {dimensions} dimensions", written, rounds=rounds),
        *await compare(f"record {rows:,} events", recorded, rounds=rounds),
    ]
