"""The work of the commands on a database: each task connects, works, and disconnects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import literal, select, table
from sqlalchemy.exc import DBAPIError

from domain.values.embedding import UNSPECIFIED
from repositories import Database, backup, migrations, operations
from repositories.backup import tables as catalog
from repositories.cli.targets import connected
from repositories.migrations.partitions import AHEAD
from repositories.migrations.runner import BASE
from repositories.registry import registry_for

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import timedelta
    from pathlib import Path

    from pydantic import SecretStr
    from sqlalchemy import Connection

    from domain import EmbeddingMetadata
    from repositories.operations import Distribution, Maintenance, Roles, TenantFigures
    from repositories.operations.distribution import OnTable
    from repositories.postgres.settings import Settings

__all__ = ["BASE"]


async def migrate(settings: Settings, revision: str) -> str:
    """Migrate to a revision, and return it."""
    async with connected(settings.for_migrations()) as engine:
        options = migrations.SchemaOptions.from_settings(settings)
        return await migrations.migrate(engine, options, revision=revision)


async def rollback(settings: Settings, revision: str) -> str | None:
    """Undo the revisions after `revision`; return the revision that is left, or None."""
    async with connected(settings.for_migrations()) as engine:
        return await migrations.rollback(engine, revision)


async def check(settings: Settings) -> list[str]:
    """Return one sentence for each difference between the schema and the entities."""
    own = registry_for(None).application_entities
    async with connected(settings.for_migrations()) as engine:
        return await migrations.check(engine, application=own)


async def check_migrated(settings: Settings) -> list[str]:
    """Migrate an empty database, and return its differences from the library's entities."""
    await migrate(settings, "head")
    async with connected(settings.for_migrations()) as engine:
        return await migrations.check(engine)


async def revise(settings: Settings, message: str) -> tuple[Path, bool]:
    """Write the next revision, with an empty database to compare with.

    Return its path, and whether the schema differs from the entities.
    """
    await migrate(settings, "head")
    async with connected(settings.for_migrations()) as engine:
        differs = bool(await migrations.check(engine))
        return await migrations.revise(engine, message), differs


async def may_hold_rows(settings: Settings) -> bool:
    """Return whether a table has rows, or hides them from this role."""
    async with connected(settings.for_migrations()) as engine, engine.connect() as connection:
        return await connection.run_sync(_may_hold_rows)


def _may_hold_rows(connection: Connection) -> bool:
    # With row-level security, an error instead of an empty answer.
    connection.execute(catalog.ALL_ROWS)
    names = [entry.name for entry in catalog.tables(connection) if entry.name != catalog.RECORD]
    try:
        return any(connection.scalar(_one_row(name)) for name in names)
    except DBAPIError:
        return True


def _one_row(name: str) -> Any:
    return select(literal(value=True)).select_from(table(name)).limit(1)


async def maintain(
    settings: Settings,
    *,
    ahead: int | None,
    keep: timedelta | None,
    keep_operations: timedelta | None,
    rebuild_indexes: bool,
) -> Maintenance:
    """Create, fill and drop partitions of telemetry, purge operations, and rebuild indexes."""
    async with connected(settings.for_migrations()) as engine:
        return await operations.maintain(
            engine,
            ahead=AHEAD if ahead is None else ahead,
            keep=keep,
            keep_operations=keep_operations,
            options=migrations.SchemaOptions.from_settings(settings),
            ef_search=settings.ef_search if rebuild_indexes else None,
        )


async def distribute(
    settings: Settings, *, shard_count: int, dry_run: bool, on_table: OnTable | None
) -> Distribution:
    """Distribute the tables over the nodes of Citus, and return what was done."""
    async with connected(settings.for_migrations()) as engine:
        return await operations.distribute(
            engine, shard_count=shard_count, dry_run=dry_run, on_table=on_table
        )


async def tenants(settings: Settings) -> Sequence[TenantFigures]:
    """Return the tenants of each table with embeddings, the most expensive search first."""
    async with connected(settings.for_migrations()) as engine:
        return await operations.tenants(engine)


async def isolate_tenant(settings: Settings, tenant: str) -> Sequence[str]:
    """Build the HNSW indexes of a tenant, and return the names of those that were missing."""
    async with connected(settings.for_migrations()) as engine:
        options = migrations.SchemaOptions.from_settings(settings)
        return await operations.isolate_tenant(engine, tenant, options)


async def release_tenant(settings: Settings, tenant: str) -> Sequence[str]:
    """Drop the HNSW indexes of a tenant, and return their names."""
    async with connected(settings.for_migrations()) as engine:
        return await operations.release_tenant(engine, tenant)


async def enable_row_level_security(settings: Settings) -> list[str]:
    """Enable row-level security, and return the tables that changed."""
    async with connected(settings.for_migrations()) as engine:
        return await operations.enable_row_level_security(engine)


async def disable_row_level_security(settings: Settings) -> list[str]:
    """Disable row-level security, and return the tables that changed."""
    async with connected(settings.for_migrations()) as engine:
        return await operations.disable_row_level_security(engine)


async def set_up_roles(
    settings: Settings, roles: Roles, passwords: dict[str, SecretStr]
) -> list[str]:
    """Create the roles that are missing and grant their rights; return those created."""
    async with connected(settings.for_migrations()) as engine:
        return await operations.set_up_roles(engine, roles, passwords)


async def dump(settings: Settings, file: Path, tenant: str | None) -> backup.Manifest:
    """Write a backup, and return its manifest."""
    async with connected(settings.for_migrations()) as engine:
        return await backup.dump(engine, file, tenant=tenant)


async def restore(
    settings: Settings, file: Path, *, replace: bool, max_unpacked: int | None
) -> backup.Manifest:
    """Restore a backup, and return its manifest."""
    async with connected(settings.for_migrations()) as engine:
        return await backup.restore(engine, file, replace=replace, max_unpacked=max_unpacked)


async def embeddings(settings: Settings, *, clear: bool) -> EmbeddingMetadata:
    """Return the record of the embeddings; with `clear`, set it to unspecified afterwards."""
    async with Database(settings) as database, database.unit_of_work() as uow:
        record = await uow.embedding_metadata.get()
        if clear:
            await uow.embedding_metadata.set(
                provider=UNSPECIFIED, model=UNSPECIFIED, dimensions=record.dimensions
            )
            await uow.commit()
        return record
