"""The driver's connection, with TCP keepalive and codecs for vectors."""

from __future__ import annotations

import asyncio
import socket
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

import asyncpg

from domain.values.text import require_tenant
from repositories.postgres.codecs import register_codecs
from repositories.postgres.private_api import TransportConnection
from repositories.sql.row_level_security import SETTING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# In seconds, except the count. Names that the operating system lacks are skipped.
_KEEPALIVE: Final = {"TCP_KEEPIDLE": 30, "TCP_KEEPALIVE": 30, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 3}
_CLOSE_SECONDS: Final = 5.0
_USER_TIMEOUT_MILLISECONDS: Final = 15_000
_ROLLED_BACK: Final = {
    "40001": asyncpg.SerializationError,
    "40P01": asyncpg.DeadlockDetectedError,
}
_closing_connections: set[asyncio.Future[None]] = set()


class Connection(TransportConnection):
    """An asyncpg connection with TCP keepalive, which asyncpg does not set, and codecs for vectors.

    On Linux, it detects a dead peer after 15 s if there is data to send, and after about a minute
    otherwise; without keepalive, after two hours.
    """

    __slots__ = (
        "_begin_settings",
        "_closing",
        "_has_vector_codecs",
        "_tenant",
        "_warnings",
        "begin_failed",
    )

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.begin_failed = False
        self._tenant: str | None = None
        self._closing = False
        self._has_vector_codecs = False
        self._begin_settings = ""
        self._warnings: list[str] = []
        if self.transport is not None:
            _enable_keepalive(self.transport.get_extra_info("socket"))

    def is_alive(self) -> bool:
        """Return whether the client takes the connection to be open.

        If the server ends the connection, the transport reports it one iteration of the event loop
        before `is_closed` does.
        """
        is_closing = self.transport is not None and self.transport.is_closing()
        return not (self.is_closed() or is_closing)

    def set_local_tenant(self, tenant: str | None) -> None:
        """Set the tenant of the next transaction for row-level security; None removes it.

        Raises:
            InvalidInput: `tenant` is not a valid name of a tenant.
        """
        self._tenant = None if tenant is None else require_tenant(tenant)

    def set_at_begin(self, settings: Mapping[str, str]) -> None:
        """Set PostgreSQL's settings at the beginning of every transaction, on all nodes of Citus.

        Citus opens connections to its workers without the settings of the session. It sends them
        the SET LOCAL of a transaction, if `citus.propagate_set_commands` is `local`.
        """
        local = {"citus.propagate_set_commands": "local", **settings}
        self._begin_settings = "".join(
            f" SET LOCAL {name} = '{value}';" for name, value in local.items()
        )
        self.add_log_listener(self._note_warning)

    def _note_warning(self, _: object, message: asyncpg.PostgresLogMessage) -> None:
        self._warnings.append(getattr(message, "sqlstate", None) or "")

    async def execute(self, query: str, *arguments: Any, **options: Any) -> str:
        """Execute a statement.

        The message with BEGIN also sets the tenant, which ends with the transaction.
        """
        if query.startswith("COMMIT") and self._begin_settings:
            return await self._commit(query)
        if not query.startswith("BEGIN"):
            return await super().execute(query, *arguments, **options)
        settings = ""
        if self._tenant is not None:
            tenant, self._tenant = self._tenant, None
            # SET takes no parameter. A tenant's name has no character that needs quoting.
            settings = f" SET LOCAL {SETTING} = '{tenant}';"
        if self._begin_settings:
            return await self._begin_on_shards(query, self._begin_settings + settings, **options)
        return await self._begin(query + settings, *arguments, **options)

    async def _begin(self, query: str, *arguments: Any, **options: Any) -> str:
        # After a failed BEGIN, the driver reports an open transaction: the connection is unusable.
        self.begin_failed = True
        status = await super().execute(query, *arguments, **options)
        self.begin_failed = False
        return status

    async def _begin_on_shards(self, query: str, settings: str, **options: Any) -> str:
        # Citus sends a worker the whole message that has a SET LOCAL: not BEGIN once more.
        status = await self._begin(query, **options)
        self.begin_failed = True
        await super().execute(settings, **options)
        self.begin_failed = False
        return status

    async def _commit(self, query: str) -> str:
        # Citus reports a COMMIT that failed on a worker without its code, which was in a warning.
        # With one of these codes the worker has rolled back; otherwise its outcome is unknown.
        self._warnings.clear()
        try:
            return await super().execute(query)
        except asyncpg.InternalServerError:
            for state in self._warnings:
                if state in _ROLLED_BACK:
                    raise _ROLLED_BACK[state]("a worker rolled the transaction back") from None
            raise

    async def close(self, **options: Any) -> None:
        """Close the connection, and wait at most five seconds for the server's answer."""
        self._closing = True
        closed = asyncio.get_running_loop().create_future()
        _closing_connections.add(closed)
        try:
            with suppress(TimeoutError):
                await super().close(timeout=options.get("timeout") or _CLOSE_SECONDS)
        finally:
            self._closing = False
            _closing_connections.discard(closed)
            if not closed.done():
                closed.set_result(None)

    def terminate(self) -> None:
        """Drop the connection at once, unless `close` is running, which has a timeout of its own.

        `close` cancels a running statement first. anyio cancels the task that awaits it again and
        again, and a connection that is terminated then leaves its statement running on the server.
        """
        if not self._closing:
            super().terminate()

    async def reload_schema_state(self) -> None:
        """Discard the driver's cache of types; SQLAlchemy calls this after each DDL statement.

        A connection that was opened before `CREATE EXTENSION` gets the codecs of vectors here.
        """
        await super().reload_schema_state()
        if not self._has_vector_codecs:
            await self.register_vector_types()

    async def register_vector_types(self) -> None:
        """Register the binary codecs of vectors, if the database has the extension."""
        self._has_vector_codecs = await register_codecs(self)


@contextmanager
def closed_is_lost(connection: asyncpg.Connection[asyncpg.Record]) -> Iterator[None]:
    """Raise `ConnectionDoesNotExistError` if the driver refuses a call on a closed connection.

    The driver itself raises `InterfaceError`, as for an incorrect use of its API.
    """
    try:
        yield
    except asyncpg.InterfaceError as error:
        if type(error) is asyncpg.InterfaceError and connection.is_closed():
            raise asyncpg.ConnectionDoesNotExistError("the connection is closed") from error
        raise


async def wait_closed() -> None:
    """Wait until every `close` that is running in this event loop has finished.

    The tasks that called `close` may have been cancelled.
    """
    loop = asyncio.get_running_loop()
    if pending := [closed for closed in _closing_connections if closed.get_loop() is loop]:
        await asyncio.wait(pending)


def _enable_keepalive(connection: socket.socket) -> None:
    if connection.family not in (socket.AF_INET, socket.AF_INET6):
        return
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEPALIVE.items():
        if hasattr(socket, name):
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        connection.setsockopt(
            socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _USER_TIMEOUT_MILLISECONDS
        )
