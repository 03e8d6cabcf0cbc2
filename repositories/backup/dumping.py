"""Write a backup: a database into a file."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import text

from domain.errors import BackupError, SchemaOutdated
from domain.values.text import require_tenant
from repositories import migrations
from repositories.backup import tables as catalog
from repositories.backup.json_values import find_invalid_json
from repositories.backup.manifest import Manifest, TableManifest
from repositories.backup.writer import BackupWriter
from repositories.migrations.environment import current_revision
from repositories.migrations.options import read_recorded
from repositories.postgres.connection import closed_is_lost
from repositories.postgres.errors import translating

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Connection
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

_VERSIONS: Final = text("""
SELECT current_setting('server_version'),
       (SELECT extversion FROM pg_extension WHERE extname = 'vector')
""")


async def dump(engine: AsyncEngine, path: Path, *, tenant: str | None = None) -> Manifest:
    """Write all rows, or all rows of one tenant, from one snapshot.

    Other sessions can write meanwhile. The file appears under its name when it is complete and on
    disk, replaces an older one, and only its owner can read it. Memory does not grow with the
    database, which may be at any revision.

    Args:
        engine: an engine without a statement timeout (`Settings.for_migrations`).
        path: the file to write.
        tenant: the tenant whose rows are written, or None for all tenants.

    Returns:
        The manifest of the backup.

    Raises:
        BackupError: the file cannot be written, the tenant has no rows, or a row has JSON that
            plain SQL wrote, and that a restore refuses.
        SchemaOutdated: the database has no schema.
        InvalidInput: `tenant` is not the name of a tenant.
        DatabaseFailure: the server or the connection failed.
    """
    if tenant is not None:
        require_tenant(tenant)
    with translating():
        async with engine.connect() as connection:
            await connection.execution_options(
                isolation_level="REPEATABLE READ", postgresql_readonly=True
            )
            await connection.run_sync(catalog.require_all_rows)
            draft = await connection.run_sync(partial(_draft, tenant))
            invalid = await find_invalid_json(connection, draft)
            if invalid is not None:
                raise BackupError(
                    f"{invalid}, which a restore refuses: assign a valid value or delete the row,"
                    " and dump again"
                )
            with BackupWriter(path, draft) as writer:
                written = [await _copy(connection, table, tenant, writer) for table in draft.tables]
                if tenant is not None and not any(table.rows for table in written):
                    raise BackupError(
                        f"the database has no rows of the tenant {tenant!r}: check its name"
                    )
                finished = draft.model_copy(update={"tables": tuple(written)})
                # In a thread, because it waits for the disk.
                return await asyncio.to_thread(writer.finish, finished)


def _draft(tenant: str | None, connection: Connection) -> Manifest:
    recorded, revision = read_recorded(connection), current_revision(connection)
    if recorded is None or revision is None:
        raise SchemaOutdated(current=revision, expected=migrations.head())
    postgresql, pgvector = connection.execute(_VERSIONS).one()
    return Manifest(
        created_at=datetime.now(UTC),
        revision=revision,
        dimensions=recorded.dimensions,
        provider=recorded.provider,
        model=recorded.model,
        metric=recorded.metric,
        language=recorded.language,
        hnsw_m=recorded.hnsw_m,
        hnsw_ef_construction=recorded.hnsw_ef_construction,
        postgresql=postgresql,
        pgvector=pgvector,
        tenant=tenant,
        tables=tuple(
            TableManifest(name=table.name, columns=table.columns)
            for table in catalog.tables(connection)
            if tenant is None or table.has_tenant
        ),
    )


async def _copy(
    connection: AsyncConnection, table: TableManifest, tenant: str | None, writer: BackupWriter
) -> TableManifest:
    size = 0

    async def append(piece: bytes) -> None:
        nonlocal size
        size += len(piece)
        # In a thread, because a row of many megabytes is one piece.
        await asyncio.to_thread(writer.write, piece)

    query = catalog.Table(name=table.name, columns=table.columns).rows_statement(tenant)
    driver: Any = (await connection.get_raw_connection()).driver_connection
    with closed_is_lost(driver):
        status: str = await driver.copy_from_query(query, output=append, format="binary")
    return table.model_copy(update={"rows": int(status.rpartition(" ")[2]), "bytes": size})
