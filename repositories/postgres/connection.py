"""The driver's connection as it is used here.

One that notices a dead network, and knows vectors.
"""

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
    from asyncio import BaseTransport
    from collections.abc import Iterator

# Seconds, and what is not a number of seconds says so. Names that an operating system lacks are
# left out.
_KEEPALIVE: Final = {"TCP_KEEPIDLE": 30, "TCP_KEEPALIVE": 30, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 3}
_GOODBYE_SECONDS: Final = 5.0
_UNANSWERED_MILLISECONDS: Final = 15_000
_goodbyes: set[asyncio.Future[None]] = set()


class Connection(TransportConnection):
    """An asyncpg connection with TCP keepalive, which asyncpg leaves off, and codecs for vectors.

    A dead peer is noticed after 15 s with something to send and about a minute without (Linux), not
    after two hours.
    """

    __slots__ = ("_closing", "_knows_vectors", "_tenant", "begin_failed")

    def __init__(self, protocol: Any, transport: BaseTransport, *arguments: Any) -> None:
        super().__init__(protocol, transport, *arguments)
        self.begin_failed = False
        self._tenant: str | None = None
        self._closing = False
        self._knows_vectors = False
        _keep_alive(transport.get_extra_info("socket"))

    def is_alive(self) -> bool:
        """Whether the connection is open as far as the client knows.

        `is_closed` reports that the server ended the connection one turn of the event loop later
        than the transport does.
        """
        return not (self.is_closed() or self.transport.is_closing())

    def set_local_tenant(self, tenant: str | None) -> None:
        """Let the next transaction, and it alone, be the tenant's in the eyes of row-level
        security; None takes that back.

        Raises:
            InvalidInput: `tenant` cannot name one.
        """
        self._tenant = None if tenant is None else require_tenant(tenant)

    async def execute(self, query: str, *arguments: Any, timeout: float | None = None) -> str:  # noqa: ASYNC109 (the driver's own signature)
        """Execute a statement.

        The tenant that was named goes with BEGIN, in the same message, and ends with its
        transaction.
        """
        if not query.startswith("BEGIN"):
            return await super().execute(query, *arguments, timeout=timeout)
        if self._tenant is not None:
            tenant, self._tenant = self._tenant, None
            # SET takes no parameter; a tenant's name has no character that would have to be quoted.
            query = f"{query} SET LOCAL {SETTING} = '{tenant}';"
        # The driver counts a failed BEGIN as an open transaction: the connection must not be used
        # again.
        self.begin_failed = True
        status = await super().execute(query, *arguments, timeout=timeout)
        self.begin_failed = False
        return status

    async def close(self, *, timeout: float | None = None) -> None:  # noqa: ASYNC109 (the driver's own signature)
        """Close, and do not wait longer than five seconds for a server that does not answer the goodbye."""
        self._closing = True
        said = asyncio.get_running_loop().create_future()
        _goodbyes.add(said)
        try:
            with suppress(TimeoutError):
                await super().close(timeout=timeout or _GOODBYE_SECONDS)
        finally:
            self._closing = False
            _goodbyes.discard(said)
            if not said.done():
                said.set_result(None)

    def terminate(self) -> None:
        """Drop the connection at once, unless it is being closed: that cancels a running statement
        first, and has its own time.

        Who is cancelled again and again, as anyio does it, waits for no goodbye; terminated, the
        connection would leave its statement running on the server.
        """
        if not self._closing:
            super().terminate()

    async def reload_schema_state(self) -> None:
        """Forget derived types; SQLAlchemy calls this on every connection after each DDL statement.

        A connection from before `CREATE EXTENSION` learns the types of vectors here.
        """
        await super().reload_schema_state()
        if not self._knows_vectors:
            await self.register_vector_types()

    async def register_vector_types(self) -> None:
        """Exchange vectors in binary from now on, where the database has the extension."""
        self._knows_vectors = await register_codecs(self)


@contextmanager
def closed_is_lost(connection: asyncpg.Connection[asyncpg.Record]) -> Iterator[None]:
    """Raise `ConnectionDoesNotExistError` if the driver refuses a call on a closed connection.

    The driver raises `InterfaceError`, as for a wrong use of its API.
    """
    try:
        yield
    except asyncpg.InterfaceError as error:
        if type(error) is asyncpg.InterfaceError and connection.is_closed():
            raise asyncpg.ConnectionDoesNotExistError("the connection is closed") from error
        raise


async def wait_closed() -> None:
    """Wait until the connections that are being closed in this event loop are.

    Whoever was to wait may have been cancelled.
    """
    here = asyncio.get_running_loop()
    if saying := [said for said in _goodbyes if said.get_loop() is here]:
        await asyncio.wait(saying)


def _keep_alive(connected: socket.socket) -> None:
    if connected.family not in (socket.AF_INET, socket.AF_INET6):
        return
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEPALIVE.items():
        if hasattr(socket, name):
            connected.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNANSWERED_MILLISECONDS)
