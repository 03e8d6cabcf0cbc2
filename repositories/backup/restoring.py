"""Restore a backup: a file into a database."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import asyncpg
from sqlalchemy import text

from domain.errors import (
    BackupDamaged,
    BackupError,
    ConfigurationError,
    DatabaseFailure,
    EmbeddingMismatch,
    InvalidBackup,
    MigrationFailed,
    RecollectError,
)
from domain.schema.registries import table_names
from domain.values.embedding import UNSPECIFIED
from repositories import migrations
from repositories.backup import tables as catalog
from repositories.backup.json_values import find_invalid_json
from repositories.backup.reader import BackupReader
from repositories.migrations.environment import current_revision, scripts
from repositories.migrations.options import SchemaOptions, read_recorded
from repositories.migrations.own_tables import references_of_others
from repositories.postgres.cancellation import run_to_completion
from repositories.postgres.connection import closed_is_lost
from repositories.postgres.direct import commit_phase
from repositories.postgres.errors import translating

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from sqlalchemy import Connection
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

    from repositories.backup.manifest import Manifest, TableManifest

_logger = logging.getLogger("recollect.database")

_NAMED: Final = 10
"""How many different tables an error names."""


async def restore(
    engine: AsyncEngine,
    path: Path,
    *,
    replace: bool = False,
    max_unpacked: int | None = None,
) -> Manifest:
    """Write every row of a backup into a database without rows, in one transaction.

    The whole file is verified before anything is changed. A database without a schema is first
    migrated to the backup's revision, with its dimension, and has no schema again if the backup is
    refused; any other must be at that revision. A backup of one tenant requires only that this
    tenant has no rows, and writes only rows of this tenant. Vector indexes are built after the rows
    are written. A cancellation during COMMIT is raised after the server has answered.

    Args:
        engine: an engine without a statement timeout (`Settings.for_migrations`), of the role that
            owns the tables.
        path: the backup.
        replace: delete existing rows in the same transaction: all of them or, for a backup of one
            tenant, the tenant's.
        max_unpacked: the limit for the unpacked body in bytes; by default 200 times the size of the
            body, and at least 64 MiB.

    Returns:
        The manifest of the backup.

    Raises:
        BackupDamaged: the file is not a backup, or it was altered.
        InvalidBackup: the backup has another revision, rows exist, the application's own tables
            refer to the rows, rows belong to another tenant than the manifest says, or no entity
            accepts the JSON of a row.
        EmbeddingMismatch: the backup has another dimension, provider or model.
        BackupError: the file cannot be read.
        CommitOutcomeUnknown: the connection was lost during COMMIT: look whether rows are there.
        DatabaseFailure: the server or the connection failed before.
    """
    with BackupReader(path) as backup:
        await backup.verify(max_unpacked=max_unpacked)
        _require_known(backup.manifest)
        async with _with_schema(engine, backup.manifest):
            with translating():
                async with engine.connect() as connection:
                    await _restore(connection, backup, replace=replace)
                    await run_to_completion(_commit(connection))
        await _analyze(engine, [table.name for table in backup.manifest.tables])
        return backup.manifest


@asynccontextmanager
async def _with_schema(engine: AsyncEngine, manifest: Manifest) -> AsyncIterator[None]:
    """Migrate a database without a schema, and drop the schema if the backup is refused."""
    if await migrations.current(engine) is not None:
        yield
        return
    await migrations.migrate(engine, _options(manifest), revision=manifest.revision)
    # Connections that were opened before the extension existed do not know its types.
    await run_to_completion(engine.dispose())
    try:
        yield
    except BackupError:
        await _drop_schema(engine)
        raise


async def _drop_schema(engine: AsyncEngine) -> None:
    try:
        with translating():
            async with engine.begin() as connection:
                await connection.run_sync(catalog.require_all_rows)
                await connection.run_sync(catalog.drop_unless_used)
    except RecollectError as failure:
        _logger.warning("the backup was refused, and its empty tables remain: %s", failure)


async def _analyze(engine: AsyncEngine, names: Sequence[str]) -> None:
    # After COMMIT: Citus refuses ANALYZE in the transaction that wrote the rows. The rows are
    # restored even if it fails, and autovacuum does the same later.
    try:
        with translating():
            async with engine.begin() as connection:
                await connection.run_sync(partial(catalog.analyze, names=names))
    except DatabaseFailure as failure:
        _logger.warning("restored, but ANALYZE failed: %s", failure)


async def _commit(connection: AsyncConnection) -> None:
    with translating(await connection.run_sync(commit_phase)):
        await connection.commit()


async def _restore(connection: AsyncConnection, backup: BackupReader, *, replace: bool) -> None:
    manifest = backup.manifest
    await connection.run_sync(catalog.require_all_rows)
    await connection.run_sync(partial(_lock, manifest))
    await connection.run_sync(partial(_require_fit, manifest))
    indexes = await connection.run_sync(partial(_make_room, manifest, replace=replace))
    for table in manifest.tables:
        await _copy(connection, table, backup)
    await connection.run_sync(partial(_require_rows_of_the_manifest, manifest))
    for index in indexes:
        await connection.execute(text(index.definition))
    # Its cursors stay open until the transaction ends, and a table that is read takes no index.
    invalid = await find_invalid_json(connection, manifest)
    if invalid is not None:
        raise InvalidBackup(
            f"{invalid}: the file may be hostile; if you trust it, assign a valid value in the"
            " database that it was written from, and dump it again"
        )


def _require_known(manifest: Manifest) -> None:
    if manifest.revision not in {script.revision for script in scripts().walk_revisions()}:
        raise InvalidBackup(
            f"the backup has revision {manifest.revision}, which this version does not know: use a"
            " newer version of the library"
        )


def _options(manifest: Manifest) -> SchemaOptions:
    try:
        return _schema_options(manifest)
    except ConfigurationError as error:
        reason = str(error)
    raise InvalidBackup(f"no database can have the options of the backup: {reason}")


def _schema_options(manifest: Manifest) -> SchemaOptions:
    return SchemaOptions(
        dimensions=manifest.dimensions,
        provider=manifest.provider,
        model=manifest.model,
        metric=manifest.metric,
        hnsw_m=manifest.hnsw_m,
        hnsw_ef_construction=manifest.hnsw_ef_construction,
        language=manifest.language,
    )


def _lock(manifest: Manifest, connection: Connection) -> None:
    """Lock the tables before they are read: two restores would otherwise end in a deadlock."""
    restored = {table.name for table in manifest.tables}
    names = [table.name for table in catalog.tables(connection) if table.name in restored]
    if names:
        catalog.lock(connection, names)


def _require_fit(manifest: Manifest, connection: Connection) -> None:
    revision, recorded = current_revision(connection), read_recorded(connection)
    if revision != manifest.revision or recorded is None:
        raise InvalidBackup(
            f"the backup has revision {manifest.revision} and the database has"
            f" {revision or 'none'}: restore into a database without a schema, and migrate it"
            " afterwards"
        )
    for field in ("dimensions", "provider", "model", "metric"):
        current, backed_up = getattr(recorded, field), getattr(manifest, field)
        if current != backed_up and UNSPECIFIED not in (current, backed_up):
            raise EmbeddingMismatch(field, recorded=current, requested=backed_up)
    expected = Counter(
        (table.name, *sorted(table.columns))
        for table in catalog.tables(connection)
        if manifest.tenant is None or table.has_tenant
    )
    described = Counter((table.name, *sorted(table.columns)) for table in manifest.tables)
    if expected != described:
        different = sorted({name for name, *_ in (expected - described) + (described - expected)})
        others = f" and {len(different) - _NAMED:,} others" if len(different) > _NAMED else ""
        raise InvalidBackup(
            "the backup and the database differ in their tables or columns:"
            f" {', '.join(different[:_NAMED])}{others}"
        )


def _make_room(
    manifest: Manifest, connection: Connection, *, replace: bool
) -> list[catalog.VectorIndex]:
    """Require that the tables are empty, and return the indexes that were dropped."""
    names = [table.name for table in manifest.tables]
    if replace:
        _require_no_references(connection, names)
        catalog.remove(connection, names, manifest.tenant)
    elif in_the_way := catalog.with_rows(
        connection, [name for name in names if name != catalog.RECORD], manifest.tenant
    ):
        owner = "the database" if manifest.tenant is None else f"the tenant {manifest.tenant!r}"
        raise InvalidBackup(
            f"{owner} has rows already, in {', '.join(in_the_way)}: restore into an empty database,"
            " or pass replace=True (--replace)"
        )
    elif catalog.RECORD in names:
        _require_no_references(connection, [catalog.RECORD])
        catalog.remove(connection, [catalog.RECORD])
    # The index of a table that keeps other rows is not rebuilt.
    empty = set(names) - set(catalog.with_rows(connection, names))
    indexes = catalog.vector_indexes(connection, empty)
    for index in indexes:
        connection.execute(text(f"DROP INDEX {index.name}"))
    return indexes


def _require_no_references(connection: Connection, names: Sequence[str]) -> None:
    references = references_of_others(connection, names, table_names())
    if references:
        tables = ", ".join(f"{table} to {referenced}" for table, referenced in references)
        raise InvalidBackup(
            f"tables of your application refer to tables that a restore empties ({tables}): drop"
            " these foreign keys, restore, and create them again; or restore into another database"
        )


def _require_rows_of_the_manifest(manifest: Manifest, connection: Connection) -> None:
    if manifest.tenant is not None:
        # The tenant had no rows before, and COPY reported this number.
        for table in manifest.tables:
            if catalog.count(connection, table.name, manifest.tenant) != table.rows:
                raise InvalidBackup(
                    f"{table.name} has rows of other tenants, and the manifest says that the backup"
                    f" is of the tenant {manifest.tenant!r}: the file may be hostile"
                )
        return
    for table in manifest.tables:
        # Statements that accept no parameters contain tenants without quoting.
        if catalog.TENANT in table.columns and catalog.has_invalid_tenant(connection, table.name):
            raise InvalidBackup(
                f"{table.name} has rows of a tenant whose name is not valid: the file may be"
                " hostile"
            )
    recorded = _restored_record(connection)
    for field in ("dimensions", "provider", "model", "metric"):
        if getattr(recorded, field) != getattr(manifest, field):
            raise InvalidBackup(
                f"the {field} in the rows of the backup differs from the manifest: the file may be"
                " hostile"
            )


def _restored_record(connection: Connection) -> SchemaOptions | None:
    try:
        return read_recorded(connection)
    except (ConfigurationError, MigrationFailed) as error:
        reason = str(error)
    raise InvalidBackup(f"no database can have the rows of the backup: {reason}")


async def _copy(connection: AsyncConnection, table: TableManifest, backup: BackupReader) -> None:
    driver: Any = (await connection.get_raw_connection()).driver_connection
    pieces = backup.pieces(table.bytes)
    try:
        with closed_is_lost(driver):
            status: str = await driver.copy_to_table(
                table.name, columns=table.columns, source=pieces, format="binary"
            )
    except asyncpg.PostgresError as error:
        refusal = backup.failure or _refused_rows(table.name, error)
        if refusal is None:
            raise
    except asyncio.CancelledError:
        # The server rolls back when the connection ends. A rollback could wait forever for the
        # answer to a COPY that the server has refused.
        driver.terminate()
        await connection.invalidate()
        raise
    else:
        refusal = backup.failure
        if int(status.rpartition(" ")[2]) != table.rows:
            refusal = BackupDamaged(
                f"the backup is damaged: {table.name} has other rows than its manifest says"
            )
    if refusal is not None:
        raise refusal


def _refused_rows(name: str, error: asyncpg.PostgresError) -> BackupError | None:
    state = error.sqlstate or ""
    # A value that ends early is a violation of the protocol (08P01) for the server, and JSON of an
    # unknown version an internal error (XX000).
    if state.startswith(("22", "54")) or state in {"08P01", "XX000"}:
        return BackupDamaged(f"the backup is damaged: the rows of {name} cannot be read ({state})")
    if state.startswith("23"):
        return InvalidBackup(
            f"the rows of the backup violate the constraint {error.constraint_name} of {name}: the"
            " file may be hostile"
        )
    return None
