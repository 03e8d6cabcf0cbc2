"""A proxy that records the protocol messages that a client sends to the server."""

from __future__ import annotations

import asyncio
import struct
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.listener import closing_connection, listening, passing_back

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
        async with listening(self._pass, port=port) as own_port:
            yield own_port

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await asyncio.open_unix_connection(self.socket)
        async with closing_connection(server_writer), passing_back(server_reader, writer):
            await self._read(reader, server_writer)

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
