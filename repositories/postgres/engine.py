"""The engine: the configuration of SQLAlchemy and asyncpg."""

from __future__ import annotations

import json
import random
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import URL, event
from sqlalchemy.ext.asyncio import create_async_engine

from domain.errors import ReadOnly, StalePlan
from domain.values.jsonb import dumps
from repositories.postgres.database_info import TENANT
from repositories.postgres.errors import translate
from repositories.postgres.hosts import Hosts
from repositories.postgres.pool import (
    RECYCLE_SECONDS,
    GuardedPool,
    note_return,
    require_alive,
)
from repositories.postgres.session_settings import TransactionSettings
from repositories.postgres.sqlstates import INTERNAL_ERROR

if TYPE_CHECKING:
    from sqlalchemy import Connection
    from sqlalchemy.engine import ExceptionContext
    from sqlalchemy.ext.asyncio import AsyncEngine

    from repositories.postgres.settings import Settings

_READER: Final = "recollect_reader"
_RANDOM: Final = random.SystemRandom()


def create_engine(
    settings: Settings, *, readonly: bool = False, distributed: bool = False
) -> AsyncEngine:
    """Return an engine, which connects at its first use.

    The engine is bound to the process and the event loop of its first use; elsewhere, its pool
    raises `UnitOfWorkError`. A failed connection attempt raises an error of `domain.errors`.

    Args:
        settings: the settings of the connections and the pool.
        readonly: make every transaction READ ONLY, and prefer a standby if there are several hosts.
            Otherwise, the engine uses the primary.
        distributed: the tables are distributed by Citus: send the settings of transactions to its
            workers.

    Raises:
        ConfigurationError: a certificate or a key cannot be read.
    """
    engine = create_async_engine(
        _url_for_repr(settings),
        async_creator=Hosts(settings, readonly=readonly, distributed=distributed),
        poolclass=GuardedPool,
        pool_size=settings.pool_size,
        max_overflow=settings.max_overflow,
        pool_timeout=settings.pool_timeout.total_seconds(),
        pool_use_lifo=True,
        # Different for each pool, so that processes that start together do not reconnect together.
        pool_recycle=round(RECYCLE_SECONDS * _RANDOM.uniform(0.95, 1.05)),
        hide_parameters=True,
        echo=settings.echo,
        json_serializer=dumps,
        json_deserializer=json.loads,
        # Every BEGIN sets the level, because a role can have another default.
        isolation_level="READ COMMITTED",
        execution_options={_READER: True} if readonly else {},
    )
    event.listen(engine.sync_engine, "handle_error", _mark_as_disconnect)
    # These are events of the pool and the dialect. A listener for an event of connections makes
    # SQLAlchemy dispatch all of them, several for each statement.
    event.listen(engine.sync_engine, "checkin", note_return)
    through_pgbouncer = settings.pooler == "pgbouncer"
    alive = partial(require_alive, through_pgbouncer=through_pgbouncer)
    event.listen(engine.sync_engine, "checkout", alive)
    if through_pgbouncer:
        event.listen(engine.sync_engine, "begin", TransactionSettings(settings, readonly=readonly))
    return engine


def accept_tenants(engine: AsyncEngine) -> None:
    """Accept the execution option `recollect_tenant`: the tenant of the next transaction.

    Only a database with row-level security needs it.
    """
    event.listen(engine.sync_engine, "set_connection_execution_options", _set_local_tenant)
    event.listen(engine.sync_engine, "checkin", _clear_local_tenant)


def bind_to_loop(engine: AsyncEngine) -> None:
    """Bind an engine of `create_engine` to this process and event loop before its first use."""
    if isinstance(engine.pool, GuardedPool):
        engine.pool.bind_to_loop()


def outdates_pool(error: BaseException, connection: Connection) -> bool:
    """Return whether the pool must replace every connection after this error.

    A server that refuses a write is no longer the primary, and another host may be; a reader
    expects the refusal. After an extension was dropped and created, every connection has cached
    types that no longer exist.
    """
    failure, options = translate(error), connection.get_execution_options()
    if isinstance(failure, ReadOnly):
        return not (options.get(_READER) or options.get("postgresql_readonly"))
    return isinstance(failure, StalePlan) and failure.sqlstate == INTERNAL_ERROR


def _mark_as_disconnect(failed: ExceptionContext) -> None:
    connection = failed.connection
    if connection is None or connection.invalidated:
        return
    driver: Any = connection.connection.driver_connection
    if outdates_pool(failed.original_exception, connection):
        failed.is_disconnect = True
    elif driver.begin_failed:
        failed.is_disconnect = True
        failed.invalidate_pool_on_disconnect = False


def _set_local_tenant(connection: Connection, options: dict[str, Any]) -> None:
    if TENANT in options:
        driver: Any = connection.connection.driver_connection
        driver.set_local_tenant(options[TENANT])


def _clear_local_tenant(connection: Any, _: object) -> None:
    # If its transaction never began, the connection still has the tenant.
    if connection is not None:
        connection.driver_connection.set_local_tenant(None)


def _url_for_repr(settings: Settings) -> URL:
    """Return the URL that the engine's `repr` shows, without the password.

    Connections use the settings.
    """
    address = settings.addresses[0]
    url = URL.create("postgresql+asyncpg", username=settings.user, database=settings.database)
    return (
        url.update_query_dict({"host": address.host})
        if address.is_socket
        else url.set(host=address.host, port=address.port)
    )
