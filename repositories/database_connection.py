"""The connections of a database: it opens, migrates and closes them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final, Self, TypeAlias

from domain.errors import ConfigurationError, SchemaOutdated, UnitOfWorkClosed
from domain.ports.implementing import checks_arguments
from domain.values.embedding import forget_dimensions, learn_dimensions
from domain.values.shown import kind_of
from domain.values.text import require_tenant
from repositories import migrations, operations
from repositories.operations.health import Facts, facts
from repositories.postgres.cancellation import run_to_completion
from repositories.postgres.connect import connect_with_retry
from repositories.postgres.connection import wait_closed
from repositories.postgres.database_info import Schema
from repositories.postgres.engine import accept_tenants, bind_to_loop, create_engine
from repositories.postgres.errors import translating
from repositories.postgres.large_tenants import LargeTenants
from repositories.postgres.mapping import order_writes_by_foreign_keys
from repositories.postgres.settings import Settings
from repositories.registry import registry_for

if TYPE_CHECKING:
    from types import TracebackType

    from sqlalchemy.ext.asyncio import AsyncEngine

    from domain.schema.base import Entity
    from repositories.embedded import EmbeddedServer
    from repositories.registry import Registration

Entities: TypeAlias = "Iterable[type[Entity] | Registration]"
"""An application's own entities; by default, all that are registered."""


@checks_arguments
class DatabaseConnection:
    """The engines of units of work and readers, and the facts that are read when they open."""

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
            if self._schema.distributed:
                await self._connect_to_citus()
            if self._schema.row_level_security:
                for engine in (self._engine, self._read_engine):
                    accept_tenants(engine)
            bind_to_loop(self._read_engine)
        except BaseException:
            await self.close()
            raise
        learn_dimensions(self._schema.dimensions)

    async def _connect_to_citus(self) -> None:
        await self.engine.dispose()
        self._engine = create_engine(self.settings, distributed=True)
        self._read_engine = create_engine(self.settings, readonly=True, distributed=True)

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

    async def migrate(self, revision: str = "head") -> str:
        """Migrate the schema to `revision` and return the revision.

        Several processes can call it at the same time, and the database need not be open. If the
        settings require row-level security, it is enabled too.

        Args:
            revision: the revision to reach; "head" is the newest.

        Raises:
            MigrationFailed: a revision failed, or another migration held the lock until the
                deadline.
        """
        async with self._for_migrations() as engine:
            reached = await migrations.migrate(
                engine, migrations.SchemaOptions.from_settings(self.settings), revision=revision
            )
            if self.settings.row_level_security:
                await operations.enable_row_level_security(engine)
        # Connections that were opened before the extension was created do not know its types.
        for opened in (self._engine, self._read_engine):
            if opened is not None:
                await opened.dispose()
        return reached

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

    async def _read_schema(self) -> Schema:
        current, expected = await self._facts(opening=True), migrations.head()
        if current.revision != expected or current.column_dimensions is None:
            raise SchemaOutdated(current=current.revision, expected=expected)
        if not current.language_known:
            raise ConfigurationError(
                "the server has no text search configuration of this name: set language to one that"
                " it has, such as english",
                setting="language",
            )
        if self.settings.row_level_security:
            current.row_security.require()
        return Schema(
            dimensions=current.column_dimensions,
            language=self.settings.language,
            ef_search=self.settings.ef_search,
            vector_weight=self.settings.vector_weight,
            bm25=self.settings.bm25,
            # It can be on even if the settings do not require it.
            row_level_security=current.row_security.on,
            distributed=current.distributed,
            large_tenants=LargeTenants(current.tenant_indexes, current.owners),
        )

    async def _facts(self, *, opening: bool = False) -> Facts:
        revision = await migrations.current(self.engine)
        with translating():
            async with self.engine.connect() as connection:
                return await facts(
                    connection,
                    language=self.settings.language,
                    revision=revision,
                    opening=opening,
                )

    @asynccontextmanager
    async def _for_migrations(self) -> AsyncIterator[AsyncEngine]:
        engine = create_engine(self.settings.for_migrations())
        try:
            yield engine
        finally:
            # SQLAlchemy logs a traceback for a connection whose close is cancelled.
            await run_to_completion(engine.dispose())

    def _tenant(self, tenant: str | None) -> str:
        return self.settings.tenant if tenant is None else require_tenant(tenant)

    @property
    def _opened_schema(self) -> Schema:
        if self._schema is None:
            raise UnitOfWorkClosed("this database is not open: use `async with`")
        return self._schema


def require_url(url: object) -> None:
    """Raise ConfigurationError for None, which a variable that is not set gives.

    Without a URL, settings name a server on this machine.
    """
    if url is None:
        raise ConfigurationError(
            "url is None: pass a URL, as in postgresql://user:password@host:5432/database, or use"
            " Database.from_env(), which reads DATABASE_URL",
            setting="url",
        )


def _require_settings(settings: object) -> None:
    if not isinstance(settings, Settings):
        raise ConfigurationError(
            f"Database takes Settings, not {kind_of(settings)}: use Database.from_url(…) for"
            " a URL, or Database.from_env() for the environment",
            setting="settings",
        )
