"""The database of an application: it connects, and creates units of work."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar, Unpack
from uuid import UUID

from pydantic import SecretStr

from domain.ports.implementing import checks_arguments
from domain.values.retries import ATTEMPTS, OUTCOME_WITHIN, RETRY_FOR
from domain.values.transactions import Isolation
from repositories.database_connection import Entities, require_url
from repositories.database_tasks import DatabaseTasks
from repositories.postgres.connection_target import ConnectionTarget
from repositories.postgres.settings import Settings
from repositories.recorder import RecorderOptions, TelemetryRecorder
from repositories.retry import poll_outcome, run_with_retry
from repositories.unit_of_work import (
    CommittedAttempt,
    CommittedOperations,
    ReadUnitOfWork,
    UnitOfWork,
)

if TYPE_CHECKING:
    from repositories.embedded import EmbeddedServer

T = TypeVar("T")


@checks_arguments
class Database(DatabaseTasks):
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

    @classmethod
    def from_env(
        cls, *, migrate: bool = False, entities: Entities | None = None, **overrides: Any
    ) -> Self:
        """Return the database of `DATABASE_URL`, or of the parts with the prefix `RECOLLECT_`.

        Args:
            migrate: whether `open` migrates the schema to the newest revision.
            entities: an application's own entities; by default, all that are registered.
            overrides: settings, which take precedence over the environment.
        """
        return cls(Settings.from_env(**overrides), migrate=migrate, entities=entities)

    @classmethod
    def from_url(
        cls,
        url: str | SecretStr | ConnectionTarget,
        *,
        migrate: bool = False,
        entities: Entities | None = None,
        **settings: Any,
    ) -> Self:
        """Return the database at `url`.

        Args:
            url: the URL, such as `postgresql://user:password@host:5432/database`.
            migrate: whether `open` migrates the schema to the newest revision.
            entities: an application's own entities; by default, all that are registered.
            settings: further settings; those that are not named come from the environment.

        Raises:
            ConfigurationError: `url` or a setting is not valid.
        """
        require_url(url)
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

        Args:
            data_dir: the folder of the server, which is created if it does not exist.
            version: the major version of PostgreSQL, by default that of the folder or else 18.
            entities: an application's own entities; by default, all that are registered.
            settings: settings, without those of the connection.
        """
        return cls(
            Settings(host="localhost", **settings),
            migrate=True,
            embedded=partial(_started, data_dir, version, settings),
            entities=entities,
        )

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
                one unit of work with the same id can be committed: the others raise
                `AlreadyCommitted`.
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
        first, doubled each time, two seconds at most. Nothing that was committed is repeated. An
        `ExceptionGroup` is retried if each error in it is safe to retry.

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
            The result of `work` in the attempt that was committed. If the reply of its commit was
            lost, new entities in it can lack values of the server, such as `created_at`.

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

        Args:
            operation_id: the id that the unit of work had.
            tenant: the tenant of the unit of work, by default the settings' tenant.
            wait_for: how long to wait for an open transaction, or for the server.

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


def _started(
    data_dir: Path | str, version: int | None, settings: dict[str, Any]
) -> tuple[EmbeddedServer, Settings]:
    from repositories.embedded import EmbeddedServer

    server = EmbeddedServer.start(data_dir, version=version)
    return server, Settings(url=server.url, **settings)
