"""A file into a database."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any

from sqlalchemy import text

from domain.errors import BackupDamaged, EmbeddingMismatch, InvalidBackup
from repositories import migrations
from repositories.backup import tables as catalog
from repositories.backup.reader import BackupReader
from repositories.migrations.environment import current_revision, scripts
from repositories.migrations.options import UNSPECIFIED, SchemaOptions, read_recorded
from repositories.postgres.connection import closed_is_lost
from repositories.postgres.direct import commit_phase
from repositories.postgres.errors import translating

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Connection
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

    from repositories.backup.manifest import Manifest, TableManifest


async def restore(engine: AsyncEngine, path: Path, *, replace: bool = False) -> Manifest:
    """Write every row of a backup into a database that has none, in one transaction; return what
    was written.

    The whole file is checked before anything is changed. A database without a schema is first
    migrated to the backup's revision, with its dimension; any other has to be at that revision.
    With `replace` the rows that are there are removed, in the same transaction: all of them, or
    those of the tenant that the backup is of. A backup of one tenant asks only that this tenant has
    no rows. Vector indexes are built after the rows are there. `engine` is one without a limit on
    statements (`Settings.for_migrations`), of the role that owns the tables.

    Raises:
        BackupDamaged: the file is no backup, or not as it was written.
        InvalidBackup: another revision, or rows that would be in the way.
        EmbeddingMismatch: another dimension, provider or model.
        BackupError: the file cannot be read.
        DatabaseFailure: no connection, a lock that others hold, a missing privilege.
    """
    with BackupReader(path) as backup:
        await asyncio.to_thread(backup.verify)
        _require_known(backup.manifest)
        if await migrations.current(engine) is None:
            await migrations.migrate(
                engine, _options(backup.manifest), revision=backup.manifest.revision
            )
            # Connections from before the extension was created do not know its types.
            await engine.dispose()
        with translating():
            async with engine.connect() as connection:
                await _restore(connection, backup, replace=replace)
                with translating(commit_phase(connection)):
                    await connection.commit()
        return backup.manifest


async def _restore(connection: AsyncConnection, backup: BackupReader, *, replace: bool) -> None:
    manifest = backup.manifest
    names = [table.name for table in manifest.tables]
    await connection.execute(catalog.ALL_ROWS)
    await connection.run_sync(partial(_require_fit, manifest))
    indexes = await connection.run_sync(partial(_make_room, manifest, replace=replace))
    for table in manifest.tables:
        await _copy(connection, table, backup)
    for index in indexes:
        await connection.execute(text(index.definition))
    await connection.run_sync(partial(catalog.analyze, names=names))


def _require_known(manifest: Manifest) -> None:
    if manifest.revision not in {script.revision for script in scripts().walk_revisions()}:
        raise InvalidBackup(
            f"the backup is of revision {manifest.revision}, which this version does not know"
        )


def _options(manifest: Manifest) -> SchemaOptions:
    return SchemaOptions(
        dimensions=manifest.dimensions,
        provider=manifest.provider,
        model=manifest.model,
        metric=manifest.metric,
        hnsw_m=manifest.hnsw_m,
        hnsw_ef_construction=manifest.hnsw_ef_construction,
        language=manifest.language,
    )


def _require_fit(manifest: Manifest, connection: Connection) -> None:
    revision, recorded = current_revision(connection), read_recorded(connection)
    if revision != manifest.revision or recorded is None:
        raise InvalidBackup(
            f"the backup is of revision {manifest.revision} and the database is at {revision or 'none'}: "
            "restore into a database without a schema, and migrate it afterwards"
        )
    for field in ("dimensions", "provider", "model", "metric"):
        known, given = getattr(recorded, field), getattr(manifest, field)
        if known != given and UNSPECIFIED not in (known, given):
            raise EmbeddingMismatch(field, recorded=known, given=given)
    ours = {
        table.name: set(table.columns)
        for table in catalog.tables(connection)
        if manifest.tenant is None or table.has_tenant
    }
    theirs = {table.name: set(table.columns) for table in manifest.tables}
    if ours != theirs:
        different = ", ".join(
            sorted(name for name in ours | theirs if ours.get(name) != theirs.get(name))
        )
        raise InvalidBackup(
            f"the backup and the database differ in their tables or columns: {different}"
        )


def _make_room(
    manifest: Manifest, connection: Connection, *, replace: bool
) -> list[catalog.VectorIndex]:
    """Lock the tables, make sure that they are empty, and return the indexes that were dropped."""
    names = [table.name for table in manifest.tables]
    catalog.lock(connection, names)
    if replace:
        catalog.remove(connection, names, manifest.tenant)
    elif in_the_way := catalog.with_rows(
        connection, [name for name in names if name != catalog.RECORD], manifest.tenant
    ):
        whose = "the database" if manifest.tenant is None else f"the tenant {manifest.tenant!r}"
        raise InvalidBackup(
            f"{whose} has rows already, in {', '.join(in_the_way)}: restore into an empty one, or replace them"
        )
    elif catalog.RECORD in names:
        catalog.remove(connection, [catalog.RECORD])
    # An index of rows that stay is not built anew for some more.
    empty = set(names) - set(catalog.with_rows(connection, names))
    indexes = catalog.vector_indexes(connection, empty)
    for index in indexes:
        connection.execute(text(f"DROP INDEX {index.name}"))
    return indexes


async def _copy(connection: AsyncConnection, table: TableManifest, backup: BackupReader) -> None:
    driver: Any = (await connection.get_raw_connection()).driver_connection
    pieces = backup.pieces(table.bytes)
    with closed_is_lost(driver):
        status: str = await driver.copy_to_table(
            table.name, columns=table.columns, source=pieces, format="binary"
        )
    if int(status.rpartition(" ")[2]) != table.rows:
        raise BackupDamaged(f"the backup is damaged: {table.name} has other rows than it says")
