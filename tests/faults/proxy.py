"""A proxy that understands PostgreSQL's messages well enough to lose the one that counts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, Any

from repositories import Database
from repositories.postgres.settings import Settings
from tests.listener import closing_connection, listening

if TYPE_CHECKING:
    from pydantic import SecretStr


@dataclass(frozen=True)
class Message:
    """One message: the `number`th of its direction on its connection.

    The first of a client has no kind.
    """

    number: int
    kind: str
    body: bytes
    of_client: bool

    @property
    def is_commit(self) -> bool:
        """Whether it asks to commit, or says that it is done."""
        return self.kind == ("Q" if self.of_client else "C") and self.body.startswith(b"COMMIT")


class Verdict(Enum):
    """The action of the proxy for a message."""

    PASS = auto()
    CUT_BEFORE = auto()
    CUT_AFTER = auto()
    SWALLOW = auto()
    """From this one on both sides hear nothing of each other, and the connection stays."""
    DELAY = auto()
    """The client is cut off at once; the server is given the message when `delayed` is set."""
    HOLD = auto()
    """The server is given the message when `delayed` is set, and the client stays."""


Judge = Callable[[Message], Verdict]


def let_pass(_: Message) -> Verdict:
    return Verdict.PASS


def at_commit(request: Verdict, reply: Verdict = Verdict.PASS) -> Judge:
    """Return the judge of COMMIT and of its reply; everything else passes."""
    return lambda message: (
        (request if message.of_client else reply) if message.is_commit else Verdict.PASS
    )


class Proxy:
    """Stands on 127.0.0.1 before the server that `url` leads to.

    `judge` may be changed at any time.
    """

    def __init__(self, url: SecretStr) -> None:
        self.judge: Judge = let_pass
        self.delayed = asyncio.Event()
        self.seen: list[Message] = []
        self.port = 0
        self._known = Settings(url=url)

    def settings(self, **others: Any) -> Settings:
        """Return the settings that lead through the proxy."""
        base = self._known
        parts = {
            "host": f"127.0.0.1:{self.port}",
            "database": base.database,
            "user": base.user,
            "password": base.password,
        }
        return Settings(**{**parts, "sslmode": "disable", "connect_deadline": 5, **others})

    @asynccontextmanager
    async def database(self, **settings: Any) -> AsyncIterator[Database]:
        """Yield the database behind an open proxy."""
        async with self.listening(), Database(self.settings(**settings)) as database:
            yield database

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await _Conversation(self, reader, writer).hold(*self._address())

        async with listening(converse) as self.port:
            yield

    def _address(self) -> tuple[str, int]:
        address = self._known.addresses[0]
        return address.host, address.port


class _Conversation:
    def __init__(
        self, proxy: Proxy, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._proxy = proxy
        self._client = reader, writer
        self._silent = False

    async def hold(self, host: str, port: int) -> None:
        if host.startswith("/"):
            server = await asyncio.open_unix_connection(f"{host}/.s.PGSQL.{port}")
        else:
            server = await asyncio.open_connection(host, port)
        async with closing_connection(server[1]):
            ways = (
                self._pass_on(self._client[0], server[1], of_client=True),
                self._pass_on(server[0], self._client[1], of_client=False),
            )
            tasks = [asyncio.ensure_future(way) for way in ways]
            try:
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
                self._client[1].transport.abort()

    async def _pass_on(
        self, source: asyncio.StreamReader, target: asyncio.StreamWriter, *, of_client: bool
    ) -> None:
        number = 0
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                # The first message of a client is its length and its body.
                kind = b"" if of_client and number == 0 else await source.readexactly(1)
                length = await source.readexactly(4)
                body = await source.readexactly(int.from_bytes(length, "big") - 4)
                message = Message(number, kind.decode("latin-1"), body, of_client)
                number += 1
                if not await self._judged(message, kind + length + body, target):
                    return

    async def _judged(self, message: Message, data: bytes, target: asyncio.StreamWriter) -> bool:
        """Handle the message, and return whether the connection stays open."""
        self._proxy.seen.append(message)
        verdict = self._proxy.judge(message)
        self._silent = self._silent or verdict is Verdict.SWALLOW
        if self._silent:
            return True
        if verdict is Verdict.CUT_BEFORE:
            return False
        if verdict is Verdict.DELAY:
            self._client[1].transport.abort()
        if verdict in (Verdict.DELAY, Verdict.HOLD):
            await self._proxy.delayed.wait()
        target.write(data)
        await target.drain()
        return verdict not in (Verdict.CUT_AFTER, Verdict.DELAY)
