"""A server for the measurement, and databases filled past the repositories.

Rows copied in, indexes built once they are there.
"""

from __future__ import annotations

import hashlib
import json
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from pgvector import Vector
from sqlalchemy import text
from uuid_utils.compat import uuid7

from bench.corpus import texts
from repositories import EmbeddedServer
from repositories.postgres.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.ext.asyncio import AsyncConnection

    from bench.vectors import Space
    from repositories import Database

COLUMNS = (
    "tenant",
    "id",
    "chunk_id",
    "repo",
    "source",
    "source_type",
    "content",
    "metadata",
    "content_hash",
    "embedding",
)
TENANT = "default"
CANDIDATES = Settings.model_fields["ef_search"].default
# Whoever builds an index does so in memory, and searches it with as long a list of candidates as
# Recollect.
SERVER = {
    "shared_buffers": "1GB",
    "max_wal_size": "4GB",
    "maintenance_work_mem": "512MB",
    "hnsw.ef_search": f"{CANDIDATES}",
}


@dataclass(frozen=True)
class Labels:
    """Values to filter rows by: for each row its repository, its kind and its metadata."""

    repos: list[str]
    kinds: list[str]
    metadata: list[dict[str, Any]]

    @classmethod
    def none(cls, rows: int) -> Labels:
        return cls(["acme/api"] * rows, ["doc"] * rows, [{} for _ in range(rows)])


@contextmanager
def server(version: int | None = None) -> Iterator[EmbeddedServer]:
    """Start a server in a folder that is deleted at the end, by default of the newest version.

    Its writes are as durable as by default.
    """
    with (
        TemporaryDirectory(prefix="recollect-bench-") as folder,
        EmbeddedServer.start(Path(folder) / "pg", version=version, settings=SERVER) as server,
    ):
        yield server


async def fill(database: Database, space: Space, labels: Labels) -> None:
    """Copy the rows in and leave the table as a database in use has it.

    Indexed, analyzed, and with no vacuum in between.
    """
    async with database.engine.connect() as connection:
        await connection.execute(text("SET maintenance_work_mem = '1GB'"))
        await connection.execute(text("ALTER TABLE knowledge SET (autovacuum_enabled = false)"))
        indexes = await _drop_indexes(connection)
        raw = await connection.get_raw_connection()
        driver: Any = raw.driver_connection
        await driver.copy_records_to_table(
            "knowledge", records=_records(space, labels), columns=COLUMNS
        )
        for definition in indexes:
            await connection.execute(text(definition))
        await connection.commit()
    await analyze(database)
    await database.engine.dispose()  # with the settings of this connection


async def analyze(database: Database) -> None:
    """Give the planner its statistics, and every index what still waits beside it."""
    async with database.engine.connect() as connection:
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        await connection.execute(text("VACUUM ANALYZE knowledge"))


async def _drop_indexes(connection: AsyncConnection) -> list[str]:
    indexes = await connection.execute(
        text(
            "SELECT indexname, indexdef FROM pg_indexes WHERE tablename = 'knowledge'"
            " AND NOT EXISTS (SELECT FROM pg_constraint WHERE conname = indexname)"
        )
    )
    definitions = []
    for name, definition in indexes:
        await connection.execute(text(f"DROP INDEX {name}"))
        definitions.append(definition)
    return definitions


def _records(space: Space, labels: Labels) -> Iterator[tuple[Any, ...]]:
    for row, content in enumerate(texts(len(space.vectors))):
        name, digest = str(row), hashlib.sha256(content.encode()).digest()
        metadata = json.dumps(labels.metadata[row])
        embedding = Vector(space.vectors[row])
        yield (
            TENANT,
            uuid7(),
            name,
            labels.repos[row],
            name,
            labels.kinds[row],
            content,
            metadata,
            digest,
            embedding,
        )
