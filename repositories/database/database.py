"""The database as an application sees it: opened once, lends units of work, closed at the end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar
from uuid import UUID

from pydantic import SecretStr
from tenacity import AsyncRetrying, retry_if_exception, stop_after_attempt, stop_after_delay, wait_random_exponential

from domain.embedding import forget_dimensions, learn_dimensions
from domain.errors import ConfigurationError, RecollectError, SchemaOutdated, UnitOfWorkClosed
from domain.text import require_tenant
from repositories import migrations
from repositories.database.connect import connect_with_retry
from repositories.database.engine import create_engine
from repositories.database.health import Facts, Health, PoolFigures, facts, pool_figures, problems
from repositories.database.settings import Settings
from repositories.schema import Schema
from repositories.statements import rows
from repositories.unit_of_work import ReadUnitOfWork, UnitOfWork

if TYPE_CHECKING:
    from types import TracebackType

    from sqlalchemy.ext.asyncio import AsyncEngine

    from repositories.database.embedded import EmbeddedServer

T = TypeVar("T")

ATTEMPTS = 10
RETRY_FOR = timedelta(seconds=30)


class Database:
    """One PostgreSQL database with pgvector. Use it as `async with`, from one event loop.

    Opening it connects, with jittered backoff until the connect deadline, and refuses a database that is not at this version's
    revision. While it is open, entities take embeddings of its dimension.

    Raises on opening:
        DatabaseUnavailable: nothing answered until the deadline; it names host, port and the last cause.
        AccessDenied, ConfigurationError: it answered, and trying again would not help.
        SchemaOutdated: migrations are missing, and `migrate` was not asked for.
    """

    def __init__(
        self, settings: Settings, *, migrate: bool = False, embedded: Callable[[], tuple[EmbeddedServer, Settings]] | None = None
    ) -> None:
        self.settings = settings
        self._migrate = migrate
        self._embedded = embedded
        self._server: EmbeddedServer | None = None
        self._engine: AsyncEngine | None = None
        self._schema: Schema | None = None

    @classmethod
    def from_env(cls, *, migrate: bool = False, **overrides: Any) -> Self:
        """Return the database of `DATABASE_URL`, or of the parts with the prefix `RECOLLECT_`; `overrides` are settings."""
        return cls(Settings.from_env(**overrides), migrate=migrate)

    @classmethod
    def from_url(cls, url: str | SecretStr, *, migrate: bool = False, **settings: Any) -> Self:
        """Return the database at `url`."""
        return cls(Settings(url=url, **settings), migrate=migrate)

    @classmethod
    def embedded(cls, data_dir: Path | str, *, version: int | None = None, **settings: Any) -> Self:
        """Return a database that this program keeps in `data_dir`: started when opened, migrated, stopped by its last user."""
        return cls(Settings(host="localhost", **settings), migrate=True, embedded=partial(_started, data_dir, version, settings))

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def open(self) -> None:
        """Connect, migrate if asked to, and read what repositories have to know; `async with` does it."""
        if self._embedded is not None:
            self._server, self.settings = await asyncio.to_thread(self._embedded)
        try:
            self._engine = create_engine(self.settings)
            await connect_with_retry(self._engine, self.settings)
            if self._migrate:
                await self.migrate()
            self._schema = await self._read_schema()
        except BaseException:
            await self.close()
            raise
        learn_dimensions(self._schema.dimensions)

    async def close(self) -> None:
        """Close every connection, and stop the embedded server if nobody else uses it; closing twice is no error."""
        schema, self._schema = self._schema, None
        if schema is not None:
            forget_dimensions(schema.dimensions)
        engine, self._engine = self._engine, None
        if engine is not None:
            await engine.dispose()
        server, self._server = self._server, None
        if server is not None:
            await asyncio.to_thread(server.release)

    def unit_of_work(self, *, tenant: str | None = None, operation_id: UUID | None = None) -> UnitOfWork:
        """Return a unit of work of one tenant, by default the settings'. It opens with `async with`."""
        tenant = self._tenant(tenant)
        return UnitOfWork(self.engine, tenant=tenant, schema=self._known, operation_id=operation_id)

    def reader(self, *, tenant: str | None = None) -> ReadUnitOfWork:
        """Return a read-only unit of work of one tenant, by default the settings'. It opens with `async with`."""
        return ReadUnitOfWork(self.engine, tenant=self._tenant(tenant), schema=self._known)

    async def run(
        self,
        work: Callable[[UnitOfWork], Awaitable[T]],
        *,
        tenant: str | None = None,
        attempts: int = ATTEMPTS,
        retry_for: timedelta = RETRY_FOR,
    ) -> T:
        """Run `work` in a unit of work and commit, unless it did; run it whole again where the failure says that is safe.

        `work` must not do anything outside the unit of work that may not happen twice.
        """
        retrying = AsyncRetrying(
            retry=retry_if_exception(lambda error: isinstance(error, RecollectError) and error.safe_to_retry),
            stop=stop_after_attempt(attempts) | stop_after_delay(retry_for.total_seconds()),
            wait=wait_random_exponential(multiplier=0.05, max=2),
            reraise=True,
        )
        return await retrying(self._run_once, work, tenant)

    async def _run_once(self, work: Callable[[UnitOfWork], Awaitable[T]], tenant: str | None) -> T:
        async with self.unit_of_work(tenant=tenant) as uow:
            result = await work(uow)
            if uow.is_open:
                await uow.commit()
            return result

    async def outcome(self, operation_id: UUID, *, tenant: str | None = None) -> bool:
        """Return whether the unit of work that was given this operation id was committed: its ledger row went with it."""
        row = {"tenant": self._tenant(tenant), "operation_id": operation_id}
        async with self.engine.connect() as connection:
            return bool((await connection.execute(rows.was_committed(), row)).scalar_one())

    async def migrate(self, revision: str = "head") -> str:
        """Bring the schema to `revision` and return it; safe while others do the same."""
        engine = create_engine(self.settings.for_migrations())
        try:
            reached = await migrations.migrate(engine, migrations.SchemaOptions.from_settings(self.settings), revision=revision)
        finally:
            await engine.dispose()
        # Connections from before the extension was created do not know its types.
        await self.engine.dispose()
        return reached

    async def health(self) -> Health:
        """Return what the database says of itself, and what to do about each thing that is wrong."""
        found, expected = await self._facts(), migrations.head()
        return Health(
            server_version=found.server_version,
            pgvector_version=found.pgvector_version,
            revision=found.revision,
            expected_revision=expected,
            provider=found.provider,
            model=found.model,
            dimensions=found.dimensions,
            pool=self.pool_figures(),
            problems=problems(found, expected_revision=expected, settings=self.settings),
        )

    def pool_figures(self) -> PoolFigures:
        """Return how many connections there are, idle and in use."""
        return pool_figures(self.engine)

    async def _read_schema(self) -> Schema:
        found, expected = await self._facts(), migrations.head()
        if found.revision != expected or found.column_dimensions is None:
            raise SchemaOutdated(current=found.revision, expected=expected)
        if not found.language_known:
            raise ConfigurationError("the server has no text search configuration of this name", setting="language")
        return Schema(dimensions=found.column_dimensions, language=self.settings.language, ef_search=self.settings.ef_search)

    async def _facts(self) -> Facts:
        revision = await migrations.current(self.engine)
        async with self.engine.connect() as connection:
            return await facts(connection, language=self.settings.language, revision=revision)

    def _tenant(self, tenant: str | None) -> str:
        return self.settings.tenant if tenant is None else require_tenant(tenant)

    @property
    def engine(self) -> AsyncEngine:
        """SQLAlchemy's engine, for what repositories do not do: migrations, maintenance, tests.

        Raises:
            UnitOfWorkClosed: the database is not open.
        """
        if self._engine is None:
            raise UnitOfWorkClosed("this database is not open: use `async with`")
        return self._engine

    @property
    def _known(self) -> Schema:
        if self._schema is None:
            raise UnitOfWorkClosed("this database is not open: use `async with`")
        return self._schema


def _started(data_dir: Path | str, version: int | None, settings: dict[str, Any]) -> tuple[EmbeddedServer, Settings]:
    from repositories.database.embedded import EmbeddedServer

    server = EmbeddedServer.start(data_dir, version=version)
    return server, Settings(url=server.url, **settings)
