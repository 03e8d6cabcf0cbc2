"""The driver's connection as it is used here.

One that notices a dead network, and knows vectors.
"""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import asyncpg

from domain.values.text import require_tenant
from repositories.postgres.codecs import is_vector_type, register_codecs, vector_types
from repositories.sql.row_level_security import SETTING

if TYPE_CHECKING:
    from asyncio import BaseTransport
    from collections.abc import Sequence

    from asyncpg.transaction import Transaction

    _Connection = asyncpg.Connection[asyncpg.Record]
else:
    _Connection = asyncpg.Connection

# Seconds, and what is not a number of seconds says so. Names that an operating system lacks are
# left out.
_KEEPALIVE: Final = {"TCP_KEEPIDLE": 30, "TCP_KEEPALIVE": 30, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 3}
_GOODBYE_SECONDS: Final = 5.0
_UNANSWERED_MILLISECONDS: Final = 15_000
_goodbyes: set[asyncio.Future[None]] = set()


class Connection(_Connection):
    """An asyncpg connection with TCP keepalive, which asyncpg leaves off, and codecs for vectors.

    A dead peer is noticed after 15 s with something to send and about a minute without (Linux), not
    after two hours.
    """

    __slots__ = ("_closing", "_tenant", "_vector_types")

    def __init__(self, protocol: Any, transport: BaseTransport, *arguments: Any) -> None:
        super().__init__(protocol, transport, *arguments)
        self._tenant: str | None = None
        _keep_alive(transport.get_extra_info("socket"))
        self._closing = False
        self._vector_types: Sequence[asyncpg.Record] = ()
        # Where there is jit the driver turns it off for the session to look types up: ours have
        # none, a pooler's are others' too.
        self._server_caps = self._server_caps._replace(jit=False)  # type: ignore[has-type]  # the stubs know no type of it

    def is_alive(self) -> bool:
        """Whether nothing is known against it.

        The driver itself learns of a goodbye one turn of the event loop later.
        """
        transport: BaseTransport = self._transport  # type: ignore[attr-defined]  # as the driver's base class has it
        return not (self.is_closed() or transport.is_closing())

    def transaction(self, **options: Any) -> Transaction:
        """Return a transaction to begin; a BEGIN that the server refused is none that it could be a
        part of.

        The driver remembers the refused one for ever, and would give the next user of the
        connection a savepoint in nothing.
        """
        if not self.is_in_transaction():
            self._top_xact = None
        return super().transaction(**options)

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
        if self._tenant is not None and query.startswith("BEGIN"):
            tenant, self._tenant = self._tenant, None
            # SET takes no parameter; a tenant's name has no character that would have to be quoted.
            query = f"{query} SET LOCAL {SETTING} = '{tenant}';"
        return await super().execute(query, *arguments, timeout=timeout)

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
        """Forget cached types; SQLAlchemy calls this on every connection after each DDL statement.

        The types of vectors stay as they are, for nothing: those of an extension that was made anew
        are met as unknown ones.
        """
        await super().reload_schema_state()
        await register_codecs(self, self._vector_types)

    async def register_vector_types(self) -> None:
        """Exchange vectors in binary from now on, where the database has them."""
        self._vector_types = await vector_types(self)
        await register_codecs(self, self._vector_types)

    async def _introspect_type(self, typename: str, schema: str) -> Any:
        # The driver asks here what a type is that it gets a codec for, with a statement for each.
        known = (
            record
            for record in self._vector_types
            if (record["name"], record["schema"]) == (typename, schema)
        )
        return next(known, None) or await super()._introspect_type(typename, schema)  # type: ignore[misc]

    async def _introspect_types(self, *arguments: Any) -> Any:
        # The driver asks here for types that it does not know, and would take vectors of an
        # extension that was made anew for text.
        found, statement = await super()._introspect_types(*arguments)  # type: ignore[misc]
        known = {record["oid"] for record in self._vector_types}
        if any(is_vector_type(met["name"]) and met["oid"] not in known for met in found):
            await self.register_vector_types()
        return found, statement


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
