"""The tasks of an operator on a database: loads, backups, maintenance and health."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from domain import metadata
from domain.errors import ConfigurationError
from domain.ports.implementing import checks_arguments
from domain.values.health import Health, PoolFigures
from repositories import backup, migrations, operations
from repositories.bulk_changes import BulkChanges
from repositories.database_connection import DatabaseConnection
from repositories.migrations.partitions import AHEAD
from repositories.operations.distribution import SHARD_COUNT
from repositories.operations.health import health_of, pool_figures
from repositories.operations.initial_load import MEMORY_MB
from repositories.operations.vector_indexes import SAMPLE

if TYPE_CHECKING:
    from domain.schema.base import Entity
    from repositories.backup import Manifest
    from repositories.operations import Distribution, Maintenance, TenantFigures
    from repositories.operations.distribution import OnTable
    from repositories.operations.initial_load import OnBuild
    from repositories.operations.vector_indexes import VectorIndexHealth


@checks_arguments
class DatabaseTasks(DatabaseConnection, BulkChanges):
    """The tasks of an operator, which the role that owns the tables runs."""

    @asynccontextmanager
    async def initial_load(
        self,
        entity: type[Entity],
        *,
        memory_mb: int = MEMORY_MB,
        workers: int | None = None,
        on_build: OnBuild | None = None,
    ) -> AsyncIterator[None]:
        """Drop the vector index of a table during the block, and build it at the end.

        Building the index once takes a fraction of the time of inserting rows into it one by one.
        In the block, write and commit with units of work as usual. Leave no unit of work open
        around it: the build waits for every older transaction. Other programs can read and write
        meanwhile, but their vector searches compare all rows. Use it for a table that is new or
        empty, or while slow searches are acceptable. It needs the role that owns the tables and a
        direct connection.

        After an exception in the block, or a crash, the index is missing: searches are exact,
        `health` reports it, and the next `migrate` or initial load builds the index.

        Args:
            entity: the entity of the table.
            memory_mb: memory of the server for the build. It is shared memory, which containers
                limit by default. If the graph does not fit, the log `recollect.load` has a warning.
            workers: processes of the server beside the first; by default, as its settings say.
            on_build: called with the progress of the build.

        Raises:
            LockTimeout: another initial load is running. Two would drop each other's indexes.
            ConfigurationError: the entity has no vector index, or the settings name a pooler, which
                would give the lock to other clients.
            MigrationFailed: the server refused to drop or to build the index.
        """
        self._require_direct("an initial load")
        async with (
            self._for_migrations() as engine,
            operations.initial_load(
                engine, entity, memory_mb=memory_mb, workers=workers, on_build=on_build
            ),
        ):
            yield

    async def distribute(
        self,
        *,
        shard_count: int = SHARD_COUNT,
        dry_run: bool = False,
        on_table: OnTable | None = None,
    ) -> Distribution:
        """Distribute the tables over the nodes of Citus, by tenant.

        The database keeps its rows, and works as before. It is done in one transaction, for which
        writers wait. You can interrupt it and call it again. It needs a direct connection to the
        coordinator, of the role that owns the tables. Open the database again afterwards, here and
        in every other process.

        Args:
            shard_count: the number of shards of each table: four to eight for each CPU core of all
                nodes. It applies if no table is distributed yet.
            dry_run: check the requirements and return what would be done.
            on_table: called after each table, with its name, the number of tables done, and of all.

        Raises:
            InvalidInput: `shard_count` is out of range.
            ConfigurationError: Citus is missing, this is not its coordinator, no node is active,
                the nodes have different versions of pgvector, or the settings name a pooler.
            LockTimeout: an initial load is running.
            MigrationFailed: the server refused a statement, or waiting for a lock took too long.
        """
        self._require_direct("distribute")
        async with self._for_migrations() as engine:
            return await operations.distribute(
                engine, shard_count=shard_count, dry_run=dry_run, on_table=on_table
            )

    def _require_direct(self, task: str) -> None:
        if self.settings.pooler != "none":
            raise ConfigurationError(
                f"{task} needs a direct connection: connect to PostgreSQL in place of the pooler,"
                ' and set pooler to "none"',
                setting="pooler",
            )

    async def dump(self, path: Path | str, *, tenant: str | None = None) -> Manifest:
        """Write a backup of every row, or of one tenant's, from one snapshot.

        Other programs can write meanwhile. The file appears under its name when it is complete, and
        only its owner can read it.

        Args:
            path: the file to write; an older one is replaced.
            tenant: the tenant whose rows are written; by default, the rows of all tenants.

        Raises:
            BackupError: the file cannot be written, or the tenant has no rows.
            SchemaOutdated: the database has no schema.
        """
        async with self._for_migrations() as engine:
            return await backup.dump(engine, Path(path), tenant=tenant)

    async def restore(
        self, path: Path | str, *, replace: bool = False, max_unpacked: int | None = None
    ) -> Manifest:
        """Restore a backup into this database, all or nothing, and return its manifest.

        The whole file is verified before anything changes. The database must be at the revision of
        the backup, or have no schema. It needs the role that owns the tables.

        Args:
            path: the backup.
            replace: delete existing rows first: all of them or, for a backup of one tenant, the
                tenant's. Otherwise there must be none.
            max_unpacked: the limit for the unpacked body in bytes; by default 200 times the size of
                the body, and at least 64 MiB.

        Raises:
            BackupDamaged: the file is not a backup, or it was altered.
            InvalidBackup: the backup has another revision, rows exist, or tables of the application
                refer to the rows.
            EmbeddingMismatch: the backup has another dimension, provider or model.
            CommitOutcomeUnknown: the connection was lost during COMMIT; look whether rows exist.
        """
        async with self._for_migrations() as engine:
            return await backup.restore(
                engine, Path(path), replace=replace, max_unpacked=max_unpacked
            )

    async def maintain(
        self,
        *,
        ahead: int = AHEAD,
        keep: timedelta | None = None,
        keep_operations: timedelta | None = None,
        rebuild_indexes: bool = True,
    ) -> Maintenance:
        """Create and drop partitions of telemetry, purge operations, and rebuild worn indexes.

        Large tenants get an HNSW index of their own. Run it periodically, at least once in `ahead`
        months. Several processes can run it at the same time. Rows in the default partition are
        moved to the partitions of their months.

        Args:
            ahead: number of months after this one that get a partition.
            keep: drop months that ended at least as long ago; None drops nothing.
            keep_operations: purge committed operations that began longer ago, an hour at least;
                None purges nothing. Purged operations are reported as not committed, and their ids
                can be used again.
            rebuild_indexes: whether to measure the recall of the vector indexes, as
                `vector_index_health` does, and to rebuild those that lost recall. Tables with many
                dead rows are vacuumed first. Others read and write meanwhile.

        Raises:
            InvalidInput: `ahead`, `keep` or `keep_operations` is out of range.
            MigrationFailed: a lock was not available, or rows were not moved, within a minute.
                Completed steps stay.
        """
        async with self._for_migrations() as engine:
            changes = await operations.maintain(
                engine,
                ahead=ahead,
                keep=keep,
                keep_operations=keep_operations,
                options=migrations.SchemaOptions.from_settings(self.settings),
                ef_search=self.settings.ef_search if rebuild_indexes else None,
            )
        self._opened_schema.large_tenants.expire()
        return changes

    async def tenants(self) -> Sequence[TenantFigures]:
        """Return the tenants of each table with embeddings, the most expensive search first.

        It counts all rows, through an index where the server can.
        """
        async with self._for_migrations() as engine:
            return await operations.tenants(engine)

    async def isolate_tenant(self, tenant: str) -> Sequence[str]:
        """Build an HNSW index for a tenant in each table with its embeddings.

        An exact search compares all rows of the tenant, and a search through the index does not.
        `maintain` and `initial_load` build it for large tenants by themselves. Others read and
        write meanwhile; other processes use the index within a minute. After an interruption, call
        it again. It needs the role that owns the tables and a direct connection.

        Args:
            tenant: the tenant.

        Returns:
            The names of the indexes that were built, none if the tenant has them all.

        Raises:
            InvalidInput: no table has an embedding of the tenant.
            LockTimeout: an initial load is running.
            MigrationFailed: the server is too old for the index, or refused to build it.
        """
        async with self._for_migrations() as engine:
            options = migrations.SchemaOptions.from_settings(self.settings)
            built = await operations.isolate_tenant(engine, tenant, options)
        self._opened_schema.large_tenants.expire()
        return built

    async def release_tenant(self, tenant: str) -> Sequence[str]:
        """Drop the HNSW indexes of a tenant, whose searches are exact then; return their names.

        `maintain` builds an index again while the tenant is one of the largest.

        Args:
            tenant: the tenant.

        Raises:
            InvalidInput: the tenant has neither an index nor an embedding.
            LockTimeout: an initial load is running.
        """
        async with self._for_migrations() as engine:
            dropped = await operations.release_tenant(engine, tenant)
        self._opened_schema.large_tenants.expire()
        return dropped

    async def vector_index_health(self, *, sample: int = SAMPLE) -> Sequence[VectorIndexHealth]:
        """Return the size, the dead entries and the recall of every vector index.

        The recall is measured in a sample of searches, each of which is compared with an exact one
        that reads the whole table: 0.5 s for 50,000 rows of 1,024 dimensions.

        Args:
            sample: the number of searches for each index.
        """
        async with self._for_migrations() as engine:
            return await operations.examine_vector_indexes(
                engine, ef_search=self.settings.ef_search, sample=sample
            )

    async def vacuum(self, *entities: type[Entity], within: timedelta = timedelta(hours=1)) -> None:
        """Vacuum and analyze the tables of these entities, or of all entities of the library.

        Dead rows no longer take space, and dead entries leave the vector indexes.

        Args:
            entities: the entities.
            within: the longest time that one table may take; the statement timeout of the settings
                does not apply.

        Raises:
            StatementTimeout: a table took longer.
        """
        tables = [entity.__tablename__ for entity in entities] or list(metadata.tables)
        async with self._for_migrations() as engine:
            await operations.vacuum_tables(engine, tables, within=within)

    async def rebuild_index(self, name: str, *, within: timedelta = timedelta(hours=1)) -> None:
        """Rebuild an index by REINDEX CONCURRENTLY, while others read and write its table.

        Args:
            name: the index.
            within: the longest time that it may take; the statement timeout of the settings does
                not apply. `recollect db migrate` completes an interrupted rebuild.

        Raises:
            StatementTimeout: it took longer.
            InvalidInput: the index does not exist.
        """
        async with self._for_migrations() as engine:
            await operations.rebuild_index(engine, name, within=within)

    async def drop_telemetry_before(self, moment: datetime) -> Maintenance:
        """Drop the telemetry of all tenants of months that ended by `moment`.

        `telemetry.purge` deletes the telemetry of one tenant.

        Args:
            moment: a datetime with a time zone.

        Raises:
            InvalidInput: `moment` has no time zone.
            LockTimeout: a lock was not available within a minute. Dropped months stay dropped.
            AccessDenied: the role does not own the table.
        """
        return await operations.drop_before(self.engine, moment)

    async def health(self) -> Health:
        """Return the state of the database and its problems, each with a remedy."""
        return health_of(
            await self._facts(), self.engine, self.settings, expected_revision=migrations.head()
        )

    def pool_figures(self, *, readers: bool = False) -> PoolFigures:
        """Return the numbers of idle and used connections.

        Args:
            readers: whether to count the connections of readers instead of units of work.
        """
        return pool_figures(self.read_engine if readers else self.engine)
