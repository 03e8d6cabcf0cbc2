"""Telemetry at rate: single events, each durable, from many tasks.

And a month of them that has grown too old.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
from pydantic import SecretStr
from sqlalchemy import text

from bench.measuring import Figure, Way, compare
from domain import TelemetryEvent
from repositories import Database
from repositories.migrations.months import Month
from repositories.migrations.partitions import Span, create_partition, partitions
from repositories.operations.partitions import drop_partition

TASKS = 16
MONTH = Month.of(datetime.now(UTC)).plus(-6)

# Ids in the order of making, as version 7 gives them.
FILL = text("""
INSERT INTO telemetry_events (
  tenant, id, created_at, repo, event_type, model, conclusion, input_tokens, output_tokens, cost_usd
)
SELECT 'default', (lpad(to_hex(n), 12, '0') || '70008000000000000000')::uuid,
       CAST(:begins AS timestamptz) + n * interval '1 s',
       'acme/repo-' || n % 50, 'review', 'model-' || n % 3, 'success', n % 10000, n % 1000, 0.01
FROM generate_series(1, :rows) AS n
""")
DELETE = text("DELETE FROM telemetry_events WHERE created_at < :ends")


# The embedded server calls its folder /proc/self/cwd.
FILES = """
SELECT replace(current_setting('data_directory'), 'self', pg_backend_pid()::text)
       || '/' || pg_relation_filepath(c.oid)
FROM pg_class c WHERE c.relname LIKE 'telemetry_events_2%' AND pg_relation_size(c.oid) > 0
"""


def _forget(files: Sequence[Path]) -> None:
    """Write what the system holds in memory, and let it forget these files.

    Nobody has read an old month lately.
    """
    os.sync()
    for path in files:
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def event() -> TelemetryEvent:
    return TelemetryEvent(
        repo="acme/api", event_type="review", model="m", conclusion="success", input_tokens=7
    )


async def _from_tasks(record: Callable[[], Awaitable[object]], count: int) -> None:
    async def work() -> None:
        for _ in range(count // TASKS):
            await record()

    await asyncio.gather(*(work() for _ in range(TASKS)))


async def singles(database: Database, *, events: int, rounds: int) -> Sequence[Figure]:
    """Compare ways to record `events` events one by one from sixteen tasks.

    Each call returns when its events are durable.
    """

    async def empty() -> None:
        async with database.engine.begin() as connection:
            await connection.exec_driver_sql("TRUNCATE telemetry_events")

    async def one_transaction_each() -> None:
        async def record() -> None:
            async with database.unit_of_work() as uow:
                await uow.telemetry.record(event())
                await uow.commit()

        await _from_tasks(record, events)

    async def awaited() -> None:
        async with database.telemetry_recorder() as recorder:
            await _from_tasks(lambda: recorder.record(event(), durable=True), events)
        assert recorder.figures.written == events // TASKS * TASKS

    async def closed() -> None:
        async with database.telemetry_recorder() as recorder:
            await _from_tasks(lambda: recorder.record(event()), events)
        assert recorder.figures.written == events // TASKS * TASKS

    ways = [
        Way(name="one transaction per event", run=one_transaction_each, prepare=empty),
        Way(name="recorder, each event awaited", run=awaited, prepare=empty),
        Way(name="recorder, all written when it is closed", run=closed, prepare=empty),
    ]
    return await compare(
        f"{events:,} single events from {TASKS} tasks, durable", ways, rounds=rounds, size=events
    )


async def retention(
    database: Database, admin_url: SecretStr, *, rows: int, rounds: int
) -> Sequence[Figure]:
    """Compare ways to remove an old month of `rows` events that were not read recently.

    DELETE alone gives no space back; VACUUM does, and is counted where it is named.
    """

    async def fill() -> None:
        async with database.engine.begin() as connection:
            await connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
            for partition in await connection.run_sync(partitions):
                if partition.is_before(MONTH.ends):
                    await connection.run_sync(drop_partition, partition)
            await connection.run_sync(
                create_partition, Span.whole(MONTH), until=time.monotonic() + 60
            )
            await connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
            await connection.execute(
                FILL, {"begins": MONTH.begins, "rows": min(rows, 28 * 86_400 - 1)}
            )
        administrator = await asyncpg.connect(
            admin_url.get_secret_value(), database=database.engine.url.database
        )
        # A table that was rewritten is not in the server's buffers.
        await administrator.execute(
            f"VACUUM FULL telemetry_events_{MONTH.year:04}_{MONTH.number:02}"
        )
        await administrator.execute("CHECKPOINT")
        files = [Path(path) for (path,) in await administrator.fetch(FILES)]
        await asyncio.to_thread(_forget, files)
        await administrator.close()

    async def delete() -> None:
        async with database.engine.begin() as connection:
            await connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
            await connection.execute(DELETE, {"ends": MONTH.ends})

    async def delete_and_vacuum() -> None:
        await delete()
        async with database.engine.connect() as connection:
            await (
                await connection.execution_options(isolation_level="AUTOCOMMIT")
            ).exec_driver_sql("VACUUM telemetry_events")

    async def drop() -> None:
        assert len((await database.drop_telemetry_before(MONTH.ends)).dropped) == 1

    ways = [
        Way(name="DELETE", run=delete, prepare=fill),
        Way(name="DELETE and VACUUM", run=delete_and_vacuum, prepare=fill),
        Way(name="drop_telemetry_before", run=drop, prepare=fill),
    ]
    return await compare(
        f"be rid of a month of {rows:,} events", ways, rounds=rounds, seconds=0, size=rows
    )
