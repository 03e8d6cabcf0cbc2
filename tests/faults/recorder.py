"""A proxy that records the protocol messages that a client sends to the server."""

from __future__ import annotations

import asyncio
import struct
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_LENGTH = 4
_SSL_REQUEST, _CANCEL_REQUEST, _STARTUP = 80877103, 80877102, 196608


@dataclass
class Recorder:
    """The messages of every connection, in the order in which they came.

    Type, and body without its length.
    """

    socket: str
    startups: list[dict[str, str]] = field(default_factory=list)
    messages: list[tuple[str, bytes]] = field(default_factory=list)

    @property
    def statements(self) -> list[tuple[str, str]]:
        """The name and the text of every statement that was parsed.

        Without a name for the simple protocol.
        """
        parsed = []
        for kind, body in self.messages:
            if kind == "P":
                name, query, *_ = body.split(b"\0")
                parsed.append((name.decode(), query.decode()))
            elif kind == "Q":
                parsed.append(("", body.rstrip(b"\0").decode()))
        return parsed

    @asynccontextmanager
    async def listening(self, port: int = 0) -> AsyncIterator[int]:
        """Listen on a port of this machine, and pass everything on."""
        conversations: set[asyncio.Task[None]] = set()

        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            conversations.add(asyncio.ensure_future(self._pass(reader, writer)))

        async with await asyncio.start_server(accept, "127.0.0.1", port) as server:
            yield int(server.sockets[0].getsockname()[1])
        for conversation in conversations:
            conversation.cancel()
        await asyncio.gather(*conversations, return_exceptions=True)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await asyncio.open_unix_connection(self.socket)
        back = asyncio.ensure_future(_copy(server_reader, writer))
        with closing(writer), closing(server_writer):
            try:
                await self._read(reader, server_writer)
            except asyncio.IncompleteReadError:
                pass
            finally:
                back.cancel()

    async def _read(self, reader: asyncio.StreamReader, server: asyncio.StreamWriter) -> None:
        while True:
            length = await reader.readexactly(_LENGTH)
            body = await reader.readexactly(struct.unpack("!I", length)[0] - _LENGTH)
            server.write(length + body)
            if struct.unpack("!I", body[:4])[0] == _STARTUP:
                words = body[4:].rstrip(b"\0").decode().split("\0")
                self.startups.append(dict(zip(words[::2], words[1::2], strict=True)))
                break
        while True:
            kind = await reader.readexactly(1)
            length = await reader.readexactly(_LENGTH)
            body = await reader.readexactly(struct.unpack("!I", length)[0] - _LENGTH)
            self.messages.append((kind.decode(), body))
            server.write(kind + length + body)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with closing(writer):
        while data := await reader.read(65536):
            writer.write(data)
