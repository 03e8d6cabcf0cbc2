"""The engine: how SQLAlchemy and asyncpg are put together here."""

from __future__ import annotations

import json
import random
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
    close_if_disposed,
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


def create_engine(settings: Settings, *, readonly: bool = False) -> AsyncEngine:
    """Make an engine; nothing connects before it is used.

    With `readonly` every transaction is READ ONLY on the server, and of several hosts a standby is
    preferred; without, the primary.

    The engine is at home in the process and the event loop of its first use; elsewhere its pool
    raises `UnitOfWorkError`. What a connection that cannot be made raises comes out as an error of
    `domain.errors`, not of SQLAlchemy.

    Raises `ConfigurationError` where a certificate or a key cannot be read.
    """
    engine = create_async_engine(
        _shown(settings),
        async_creator=Hosts(settings, readonly=readonly),
        poolclass=GuardedPool,
        pool_size=settings.pool_size,
        max_overflow=settings.max_overflow,
        pool_timeout=settings.pool_timeout.total_seconds(),
        pool_use_lifo=True,
        # Different for each pool, so that many processes started together do not reconnect
        # together.
        pool_recycle=round(RECYCLE_SECONDS * random.uniform(0.95, 1.05)),  # noqa: S311 (spreads load, keeps no secret)
        hide_parameters=True,
        echo=settings.echo,
        json_serializer=dumps,
        json_deserializer=json.loads,
        # Said with every BEGIN, because a role may have another default; said by each unit of work
        # itself where it writes.
        isolation_level="READ COMMITTED" if readonly else None,
        execution_options={_READER: True} if readonly else {},
    )
    event.listen(engine.sync_engine, "handle_error", _count_as_lost)
    event.listen(engine.sync_engine, "set_connection_execution_options", _set_local_tenant)
    event.listen(engine.sync_engine, "checkin", _clear_local_tenant)
    event.listen(engine.sync_engine, "checkin", close_if_disposed)
    event.listen(engine.sync_engine, "checkout", require_alive)
    if settings.pooler == "pgbouncer":
        event.listen(engine.sync_engine, "begin", TransactionSettings(settings, readonly=readonly))
    return engine


def settle(engine: AsyncEngine) -> None:
    """Have an engine of `create_engine` at home in this process and event loop, although nothing is asked of it yet."""
    if isinstance(engine.pool, GuardedPool):
        engine.pool.settle()


def outdates_pool(error: BaseException, connection: Connection) -> bool:
    """Return whether every connection of the pool has to be replaced after this error.

    A server that refuses to write is no longer the primary, and there may be another; a reader
    expects that. After an extension was created again, every connection remembers types that are
    gone.
    """
    failure, options = translate(error), connection.get_execution_options()
    if isinstance(failure, ReadOnly):
        return not (options.get(_READER) or options.get("postgresql_readonly"))
    return isinstance(failure, StalePlan) and failure.sqlstate == INTERNAL_ERROR


def _count_as_lost(failed: ExceptionContext) -> None:
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
        connection.connection.driver_connection.set_local_tenant(options[TENANT])  # type: ignore[union-attr]  # it is our driver's


def _clear_local_tenant(connection: Any, _: object) -> None:
    # A transaction that never began would leave its tenant to the next one.
    if connection is not None:
        connection.driver_connection.set_local_tenant(None)


def _shown(settings: Settings) -> URL:
    """Return what the engine's `repr` shows.

    The connection is made from the settings, and the password is not in here.
    """
    address = settings.addresses[0]
    made = URL.create("postgresql+asyncpg", username=settings.user, database=settings.database)
    return (
        made.update_query_dict({"host": address.host})
        if address.is_socket
        else made.set(host=address.host, port=address.port)
    )
