"""The initial load of a table with embeddings.

The rows are written first, and their vector index is built afterwards by parallel workers.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import BigInteger, Text, bindparam, text
from sqlalchemy.exc import SQLAlchemyError

from domain import metadata
from domain.errors import ConfigurationError, LockTimeout, RecollectError, SchemaOutdated
from repositories.migrations import indexes, tenant_indexes
from repositories.migrations.options import SchemaOptions, read_recorded
from repositories.migrations.session import LIMITS, LOCK_TIMEOUT, MigrationSession, milliseconds
from repositories.migrations.target import table_of, vector_indexes
from repositories.postgres.errors import translating
from repositories.sql.large_tenants import TENANT_INDEXES
from repositories.sql.vector_index import IndexForm

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from sqlalchemy import Connection, Index
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

    from domain.schema.base import Entity

MEMORY_MB: Final = 1_024
_LOCKS_WITHIN: Final = timedelta(seconds=60)
_LOOK_EVERY: Final = 0.5
_NO_LONGER_FITS: Final = "hnsw graph no longer fits"
_logger: Final = logging.getLogger("recollect.load")

_SETTINGS: Final = text("""
SELECT set_config('maintenance_work_mem',
                  greatest(:kilobytes, setting::bigint)::text || 'kB', false),
       set_config('max_parallel_maintenance_workers',
                  coalesce(:workers, current_setting('max_parallel_maintenance_workers')), false),
       set_config('min_parallel_table_scan_size', '0', false)
FROM pg_settings WHERE name = 'maintenance_work_mem'
""").bindparams(bindparam("kilobytes", type_=BigInteger), bindparam("workers", type_=Text))
_ROWS: Final = text("SELECT reltuples::bigint FROM pg_class WHERE oid = to_regclass(:table)")
_DEFINITION: Final = text("SELECT pg_get_indexdef(to_regclass(:name))").bindparams(
    bindparam("name", type_=Text)
)
_PROGRESS: Final = text("""
SELECT phase, tuples_done, blocks_done, blocks_total
FROM pg_stat_progress_create_index WHERE pid = :pid
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildProgress:
    """The progress of an index build, from `pg_stat_progress_create_index`.

    `blocks` and `blocks_total` count the blocks of the current phase.
    """

    phase: str
    rows: int
    blocks: int
    blocks_total: int


OnBuild = Callable[[BuildProgress], None]


@asynccontextmanager
async def initial_load(
    engine: AsyncEngine,
    entity: type[Entity],
    *,
    memory_mb: int = MEMORY_MB,
    workers: int | None = None,
    on_build: OnBuild | None = None,
) -> AsyncIterator[None]:
    """Drop the entity's vector index for the block, and build it afterwards.

    `Database.initial_load` documents the arguments and errors.
    """
    async with _connection(engine) as connection:
        session = _session_of(connection)
        options, index = await session.run(
            partial(_planned, entity), doing="looking at the database"
        )
        rebuild = partial(indexes.rebuild_interrupted, tables=list(metadata.tables))
        await session.run(rebuild, doing="rebuilding an index that was interrupted")
        await session.run(
            partial(_build_others, options, index),
            doing="building the vector index of an initial load",
        )
        definitions = await session.run(partial(_drop, index), doing=f"dropping {index.name}")
        try:
            yield
            session = _session_of(connection)
            await session.run(
                partial(_prepare, options, index, memory_mb, workers),
                doing="preparing to build an index",
            )
            async with _watching(engine, connection, on_build):
                await session.run(
                    partial(indexes.build, index=index), doing=f"building {index.name}"
                )
                await session.run(
                    partial(_complete, options, index, definitions),
                    doing="building the indexes of large tenants",
                )
        except BaseException:
            _logger.warning(
                "%s is missing, and searches read every row: `recollect db migrate` builds it",
                index.name,
            )
            raise


def _session_of(connection: AsyncConnection) -> MigrationSession:
    return MigrationSession(connection, time.monotonic() + _LOCKS_WITHIN.total_seconds())


@asynccontextmanager
async def _connection(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    with translating():
        connection = await engine.connect()
    try:
        with translating():
            await connection.execute(LIMITS, {"lock": milliseconds(LOCK_TIMEOUT), "statement": "0"})
            is_locked = await connection.run_sync(indexes.load_for_us)
            await connection.commit()
        if not is_locked:
            raise LockTimeout(
                "another initial load is running in this database: wait until it ends"
            )
        yield connection
    finally:
        # Closing the connection releases its lock and discards its settings.
        await connection.invalidate()
        await connection.close()


def _planned(entity: type[Entity], connection: Connection) -> tuple[SchemaOptions, Index]:
    options = read_recorded(connection)
    if options is None:
        raise SchemaOutdated(current=None, expected="a migrated database")
    index = vector_indexes(options).get(entity.__tablename__)
    if index is None:
        raise ConfigurationError(
            f"{entity.__name__} has no vector index: pass an entity with an embedding",
            setting="entity",
        )
    return options, index


def _build_others(options: SchemaOptions, index: Index, connection: Connection) -> None:
    # At most one vector index is missing at a time, so the others provide its parameters.
    for other in vector_indexes(options).values():
        if other.name != index.name and indexes.is_left_out(connection, other):
            indexes.build(connection, other)


def _drop(index: Index, connection: Connection) -> Sequence[str]:
    """Drop the index, and those of single tenants; return the definitions of the latter."""
    connection.execute(text(f"DROP INDEX IF EXISTS {index.name}"))
    definitions = []
    for row in connection.execute(TENANT_INDEXES).mappings().all():
        if row["table"] == table_of(index):
            definitions.append(connection.execute(_DEFINITION, {"name": row["name"]}).scalar_one())
            connection.execute(text(f"DROP INDEX {row['name']}"))
    return definitions


def _complete(
    options: SchemaOptions, index: Index, definitions: Sequence[str], connection: Connection
) -> None:
    # A scan of a covering index reads the table as well until VACUUM has seen the rows.
    connection.rollback()
    with indexes.outside_of_transactions(connection):
        connection.execute(text(f"VACUUM (ANALYZE) {index.table}"))
        for definition in definitions:
            concurrently = definition.replace("CREATE INDEX", "CREATE INDEX CONCURRENTLY", 1)
            connection.execute(text(concurrently))
    column = tenant_indexes.embedding_tables(connection, options)[table_of(index)]
    tenant_indexes.build_large(connection, column, options)


def _prepare(
    options: SchemaOptions,
    index: Index,
    memory_mb: int,
    workers: int | None,
    connection: Connection,
) -> None:
    # With row-level security a count would include the rows of one tenant only. The statistics
    # include all rows, and the planner needs them anyway.
    connection.execute(text(f"ANALYZE {index.table}"))
    rows = max(0, connection.scalars(_ROWS, {"table": table_of(index)}).one())
    # The bytes of a row in the graph: the vector, and its lists of neighbours; the list of the
    # lowest layer is twice as long.
    size = (
        IndexForm.for_dimensions(options.dimensions).bytes_of(options.dimensions)
        + 48 * options.hnsw_m
        + 256
    )
    kilobytes = min(memory_mb, 1 + rows * size // 2**20) * 1_024
    connection.execute(
        _SETTINGS, {"kilobytes": kilobytes, "workers": None if workers is None else str(workers)}
    )


@asynccontextmanager
async def _watching(
    engine: AsyncEngine, connection: AsyncConnection, on_build: OnBuild | None
) -> AsyncIterator[None]:
    driver: Any = (await connection.get_raw_connection()).driver_connection
    driver.add_log_listener(_pass_on)
    watcher = (
        None
        if on_build is None
        else asyncio.create_task(_watch(engine, driver.get_server_pid(), on_build))
    )
    try:
        yield
    finally:
        driver.remove_log_listener(_pass_on)
        if watcher is not None:
            watcher.cancel()
            with suppress(asyncio.CancelledError):
                await watcher


def _pass_on(_: object, message: Any) -> None:
    if _NO_LONGER_FITS in message.message:
        _logger.warning(
            "%s: the rest of the build is slow; give it more memory_mb", message.message
        )


async def _watch(engine: AsyncEngine, pid: int, on_build: OnBuild) -> None:
    # A failure to read the progress must not end the build.
    with suppress(SQLAlchemyError, OSError, RecollectError):
        async with engine.connect() as connection:
            await connection.execution_options(isolation_level="AUTOCOMMIT")
            while True:
                row = (await connection.execute(_PROGRESS, {"pid": pid})).one_or_none()
                if row is not None:
                    on_build(
                        BuildProgress(phase=row[0], rows=row[1], blocks=row[2], blocks_total=row[3])
                    )
                await asyncio.sleep(_LOOK_EVERY)
