"""The database of an application: it connects, and creates units of work."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self, TypeAlias, TypeVar, Unpack
from uuid import UUID

from pydantic import SecretStr

from domain.errors import ConfigurationError, SchemaOutdated, UnitOfWorkClosed
from domain.values.embedding import forget_dimensions, learn_dimensions
from domain.values.health import Health, PoolFigures
from domain.values.text import require_tenant
from domain.values.transactions import ATTEMPTS, OUTCOME_WITHIN, RETRY_FOR, Isolation
from repositories import backup, migrations, operations
from repositories.migrations.partitions import AHEAD
from repositories.operations.health import Facts, facts, health_of, pool_figures
from repositories.operations.initial_load import MEMORY_MB
from repositories.postgres.cancellation import run_to_completion
from repositories.postgres.connect import connect_with_retry
from repositories.postgres.connection import wait_closed
from repositories.postgres.database_info import Schema
from repositories.postgres.engine import bind_to_loop, create_engine
from repositories.postgres.errors import translating
from repositories.postgres.mapping import order_writes_by_foreign_keys
from repositories.postgres.settings import Settings
from repositories.recorder import RecorderOptions, TelemetryRecorder
from repositories.registry import registry_for
from repositories.retry import poll_outcome, run_with_retry
from repositories.unit_of_work import (
    CommittedAttempt,
    CommittedOperations,
    ReadUnitOfWork,
    UnitOfWork,
)

if TYPE_CHECKING:
    from types import TracebackType

    from sqlalchemy.ext.asyncio import AsyncEngine

    from domain.schema.base import Entity
    from repositories.backup import Manifest
    from repositories.embedded import EmbeddedServer
    from repositories.operations import Maintenance
    from repositories.operations.initial_load import OnBuild
    from repositories.registry import Registration

T = TypeVar("T")

Entities: TypeAlias = "Iterable[type[Entity] | Registration]"
"""An application's own entities; by default, all that are registered."""


class Database:
    """One PostgreSQL database with pgvector. Use it as `async with`, from one event loop.

    `open` connects, with jittered backoff until the connect deadline, and refuses a database that
    is not at this version's revision. While the database is open, entities accept embeddings of its
    dimension.

    Raises on opening:
        DatabaseUnavailable: no server answered before the deadline. The message has host, port and
            the last cause.
        AccessDenied, ConfigurationError: the server answered, and a retry would not help.
        SchemaOutdated: migrations are missing, and `migrate` is false.
        RowLevelSecurityRequired: the settings require row-level security, and it is off, or does
            not apply to the role.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        migrate: bool = False,
        embedded: Callable[[], tuple[EmbeddedServer, Settings]] | None = None,
        entities: Entities | None = None,
    ) -> None:
        _require_settings(settings)
        self.registry: Final = registry_for(entities)
        order_writes_by_foreign_keys(self.registry.application_entities)
        self.settings = settings
        self._migrate = migrate
        self._embedded = embedded
        self._server: EmbeddedServer | None = None
        self._engine: AsyncEngine | None = None
        self._read_engine: AsyncEngine | None = None
        self._schema: Schema | None = None

    @classmethod
    def from_env(
        cls, *, migrate: bool = False, entities: Entities | None = None, **overrides: Any
    ) -> Self:
        """Return the database of `DATABASE_URL`, or of the parts with the prefix `RECOLLECT_`.

        `overrides` are settings.
        """
        return cls(Settings.from_env(**overrides), migrate=migrate, entities=entities)

    @classmethod
    def from_url(
        cls,
        url: str | SecretStr,
        *,
        migrate: bool = False,
        entities: Entities | None = None,
        **settings: Any,
    ) -> Self:
        """Return the database at `url`."""
        return cls(Settings(url=url, **settings), migrate=migrate, entities=entities)

    @classmethod
    def embedded(
        cls,
        data_dir: Path | str,
        *,
        version: int | None = None,
        entities: Entities | None = None,
        **settings: Any,
    ) -> Self:
        """Return a database of an embedded server with its files in `data_dir`.

        `open` starts and migrates it. The last program that uses it stops it.
        """
        return cls(
            Settings(host="localhost", **settings),
            migrate=True,
            embedded=partial(_started, data_dir, version, settings),
            entities=entities,
        )

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def open(self) -> None:
        """Connect, migrate if `migrate` is true, and read the facts that repositories need.

        `async with` calls it.
        """
        try:
            if self._embedded is not None:
                await run_to_completion(self._start(self._embedded))
            self._engine = create_engine(self.settings)
            self._read_engine = create_engine(self.settings, readonly=True)
            await connect_with_retry(self._engine, self.settings)
            if self._migrate:
                await self.migrate()
            self._schema = await self._read_schema()
            bind_to_loop(self._read_engine)
        except BaseException:
            await self.close()
            raise
        learn_dimensions(self._schema.dimensions)

    async def _start(self, embedded: Callable[[], tuple[EmbeddedServer, Settings]]) -> None:
        # A cancellation does not stop the thread, and the server that it starts has to be stopped.
        self._server, self.settings = await asyncio.to_thread(embedded)

    async def close(self) -> None:
        """Close every connection, and stop the embedded server if no other program uses it.

        The connection of an open unit of work is closed when the unit of work ends. A cancellation
        does not interrupt `close`. You can call it twice.

        Raises:
            UnitOfWorkError: the database belongs to another event loop, or was opened before a
                fork; nothing is closed.
        """
        await run_to_completion(self._close())

    async def _close(self) -> None:
        for engine in (self._engine, self._read_engine):
            if engine is not None:
                await engine.dispose()
                await wait_closed()
        self._engine = self._read_engine = None
        schema, self._schema = self._schema, None
        if schema is not None:
            forget_dimensions(schema.dimensions)
        server, self._server = self._server, None
        if server is not None:
            await asyncio.to_thread(server.release)

    def unit_of_work(
        self,
        *,
        tenant: str | None = None,
        operation_id: UUID | None = None,
        isolation: Isolation = Isolation.READ_COMMITTED,
    ) -> UnitOfWork:
        """Return a unit of work of one tenant. Open it with `async with`.

        Args:
            tenant: by default the settings' tenant.
            operation_id: with it, `outcome` returns whether the unit of work was committed. Only
                one unit of work with the same id can be committed: the others raise `AlreadyExists`
                with the constraint `pk_committed_operations`.
            isolation: the isolation level.
        """
        tenant = self._tenant(tenant)
        return UnitOfWork(
            self.engine,
            tenant=tenant,
            schema=self._opened_schema,
            operation_id=operation_id,
            isolation=isolation,
            registry=self.registry,
        )

    def reader(
        self, *, tenant: str | None = None, isolation: Isolation = Isolation.READ_COMMITTED
    ) -> ReadUnitOfWork:
        """Return a read-only unit of work of one tenant. Open it with `async with`.

        With several hosts, readers prefer a standby, which may lag.

        Args:
            tenant: by default the settings' tenant.
            isolation: the isolation level. With REPEATABLE READ, all statements see one snapshot.
                Standbys do not support SERIALIZABLE: such a reader uses the host of units of work,
                and its first statement raises `ReadOnly` if that host is a standby.
        """
        engine = self.engine if isolation is Isolation.SERIALIZABLE else self.read_engine
        return ReadUnitOfWork(
            engine,
            tenant=self._tenant(tenant),
            schema=self._opened_schema,
            isolation=isolation,
            registry=self.registry,
        )

    async def run(
        self,
        work: Callable[[UnitOfWork], Awaitable[T]],
        *,
        tenant: str | None = None,
        operation_id: UUID | None = None,
        isolation: Isolation = Isolation.READ_COMMITTED,
        attempts: int = ATTEMPTS,
        retry_for: timedelta = RETRY_FOR,
    ) -> T:
        """Run `work` in a unit of work and commit it, unless `work` did; retry where that is safe.

        `work` creates its entities itself and has no side effects outside the unit of work, because
        it may run several times. Between two attempts there is a random pause of up to 20 ms at
        first, doubled each time, two seconds at most. Nothing that was committed is repeated.

        If the outcome of a commit is unknown, `run` reads it from `committed_operations`: the
        result of this attempt is returned if this attempt was committed, and `work` runs again if
        nothing was committed.

        Args:
            work: an async function of the unit of work.
            tenant: by default the settings' tenant.
            operation_id: identifies the message, request or job; committed at most once.
            isolation: the isolation level of each attempt.
            attempts: the maximum number of attempts.
            retry_for: the last attempt starts within this time.

        Returns:
            The result of `work` in the attempt that was committed.

        Raises:
            AlreadyCommitted: another attempt committed the operation, or `work` committed it by
                itself and the reply was lost. Its result is not available.
            CommitOutcomeUnknown: without `operation_id`, or if the outcome cannot be read.
        """
        factory = partial(
            self.unit_of_work, tenant=tenant, operation_id=operation_id, isolation=isolation
        )
        lookup = (
            None
            if operation_id is None
            else partial(
                self._committed_attempt, operation_id, tenant=tenant, wait_for=OUTCOME_WITHIN
            )
        )
        return await run_with_retry(
            work, factory, lookup=lookup, attempts=attempts, retry_for=retry_for
        )

    async def outcome(
        self, operation_id: UUID, *, tenant: str | None = None, wait_for: timedelta = OUTCOME_WITHIN
    ) -> bool:
        """Return whether a unit of work with this operation id was committed.

        It reads the row that the unit of work wrote to `committed_operations` in the same
        transaction. It waits while that transaction is open or the server is unreachable. False is
        final after the commit was tried; if another process may still commit, run the work again
        with the same operation id: only one of the two can be committed.

        Raises:
            LockTimeout: the transaction was still open after `wait_for`.
            DatabaseFailure: the table could not be read within that time.
        """
        attempt = await self._committed_attempt(operation_id, tenant=tenant, wait_for=wait_for)
        return attempt is not None

    async def _committed_attempt(
        self, operation_id: UUID, *, tenant: str | None, wait_for: timedelta
    ) -> CommittedAttempt | None:
        factory = partial(
            CommittedOperations,
            self.engine,
            tenant=self._tenant(tenant),
            schema=self._opened_schema,
            operation_id=operation_id,
        )
        return await poll_outcome(factory, wait_for=wait_for)

    def telemetry_recorder(
        self, *, tenant: str | None = None, **options: Unpack[RecorderOptions]
    ) -> TelemetryRecorder:
        """Return a recorder of single telemetry events of one tenant. Open it with `async with`.

        Args:
            tenant: by default the settings' tenant.
            options: see `TelemetryRecorder`.
        """
        return TelemetryRecorder(self, tenant=self._tenant(tenant), **options)

    async def migrate(self, revision: str = "head") -> str:
        """Migrate the schema to `revision` and return the revision.

        Several processes can call it at the same time. If the settings require row-level security,
        it is enabled too.
        """
        async with self._for_migrations() as engine:
            reached = await migrations.migrate(
                engine, migrations.SchemaOptions.from_settings(self.settings), revision=revision
            )
            if self.settings.row_level_security:
                await operations.enable_row_level_security(engine)
        # Connections that were opened before the extension was created do not know its types.
        await self.engine.dispose()
        await self.read_engine.dispose()
        return reached

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
        if self.settings.pooler != "none":
            raise ConfigurationError(
                "a first load needs a direct connection, not a pooler's", setting="pooler"
            )
        async with (
            self._for_migrations() as engine,
            operations.initial_load(
                engine, entity, memory_mb=memory_mb, workers=workers, on_build=on_build
            ),
        ):
            yield

    async def dump(self, path: Path | str, *, tenant: str | None = None) -> Manifest:
        """Write a backup of every row, or of one tenant's, from one snapshot; see `backup.dump`."""
        async with self._for_migrations() as engine:
            return await backup.dump(engine, Path(path), tenant=tenant)

    async def restore(
        self, path: Path | str, *, replace: bool = False, max_unpacked: int | None = None
    ) -> Manifest:
        """Restore a backup into this database, all or nothing; see `backup.restore`."""
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
    ) -> Maintenance:
        """Create and drop partitions of telemetry, and purge committed operations, of all tenants.

        Run it periodically, at least once in `ahead` months. Several processes can run it at the
        same time. Rows in the default partition are moved to the partitions of their months.

        Args:
            ahead: number of months after this one that get a partition.
            keep: drop months that ended at least as long ago; None drops nothing.
            keep_operations: purge committed operations that began longer ago, an hour at least;
                None purges nothing. Purged operations are reported as not committed, and their ids
                can be used again.

        Raises:
            InvalidInput: `ahead`, `keep` or `keep_operations` is out of range.
            MigrationFailed: a lock was not available, or rows were not moved, within a minute.
                Completed steps stay.
        """
        async with self._for_migrations() as engine:
            return await operations.maintain(
                engine, ahead=ahead, keep=keep, keep_operations=keep_operations
            )

    async def drop_telemetry_before(self, moment: datetime) -> Maintenance:
        """Drop the telemetry of all tenants of months that ended by `moment`.

        `telemetry.purge` deletes the telemetry of one tenant.

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

    async def _read_schema(self) -> Schema:
        current, expected = await self._facts(), migrations.head()
        if current.revision != expected or current.column_dimensions is None:
            raise SchemaOutdated(current=current.revision, expected=expected)
        if not current.language_known:
            raise ConfigurationError(
                "the server has no text search configuration of this name", setting="language"
            )
        if self.settings.row_level_security:
            current.row_security.require()
        return Schema(
            dimensions=current.column_dimensions,
            language=self.settings.language,
            ef_search=self.settings.ef_search,
            # It can be on even if the settings do not require it.
            row_level_security=current.row_security.on,
        )

    async def _facts(self) -> Facts:
        revision = await migrations.current(self.engine)
        with translating():
            async with self.engine.connect() as connection:
                return await facts(connection, language=self.settings.language, revision=revision)

    @asynccontextmanager
    async def _for_migrations(self) -> AsyncIterator[AsyncEngine]:
        engine = create_engine(self.settings.for_migrations())
        try:
            yield engine
        finally:
            await engine.dispose()

    def _tenant(self, tenant: str | None) -> str:
        return self.settings.tenant if tenant is None else require_tenant(tenant)

    @property
    def dimensions(self) -> int:
        """Dimensions of the embeddings.

        Raises:
            UnitOfWorkClosed: the database is not open.
        """
        return self._opened_schema.dimensions

    @property
    def engine(self) -> AsyncEngine:
        """The SQLAlchemy engine of units of work, for statements that no repository has.

        Raises:
            UnitOfWorkClosed: the database is not open.
        """
        if self._engine is None:
            raise UnitOfWorkClosed("this database is not open: use `async with`")
        return self._engine

    @property
    def read_engine(self) -> AsyncEngine:
        """The SQLAlchemy engine of readers, which has its own pool.

        Its sessions are READ ONLY. With several hosts it prefers a standby.

        Raises:
            UnitOfWorkClosed: the database is not open.
        """
        if self._read_engine is None:
            raise UnitOfWorkClosed("this database is not open: use `async with`")
        return self._read_engine

    @property
    def _opened_schema(self) -> Schema:
        if self._schema is None:
            raise UnitOfWorkClosed("this database is not open: use `async with`")
        return self._schema


def _require_settings(settings: object) -> None:
    if not isinstance(settings, Settings):
        raise ConfigurationError(
            f"Database takes Settings, not {type(settings).__name__}: use Database.from_url(…) for"
            " a URL, or Database.from_env() for the environment",
            setting="settings",
        )


def _started(
    data_dir: Path | str, version: int | None, settings: dict[str, Any]
) -> tuple[EmbeddedServer, Settings]:
    from repositories.embedded import EmbeddedServer

    server = EmbeddedServer.start(data_dir, version=version)
    return server, Settings(url=server.url, **settings)
