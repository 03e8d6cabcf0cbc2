"""TCP listeners on this machine that stand in for PostgreSQL, or pass bytes on to it."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    Conversation = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def listening(converse: Conversation, *, port: int = 0) -> AsyncIterator[int]:
    """Call `converse` for every connection, and yield the port.

    The end of the block cancels every conversation and waits until every connection is closed.

    Raises:
        Exception: a conversation failed, and not because its connection was lost.
    """
    conversations: dict[asyncio.StreamWriter, asyncio.Task[None]] = {}
    ended = False

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with closing_connection(writer):
            await converse(reader, writer)

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if ended:  # accepted before the listener was closed, and announced after it
            writer.transport.abort()
        else:
            conversations[writer] = asyncio.create_task(answer(reader, writer))

    async with await asyncio.start_server(accept, "127.0.0.1", port) as server:
        try:
            yield int(server.sockets[0].getsockname()[1])
        finally:
            for _ in range(3):  # the turns of the loop from a connection to its announcement
                await asyncio.sleep(0)
            ended = True
            server.close()
            for task in conversations.values():
                task.cancel()
            outcomes = await asyncio.gather(*conversations.values(), return_exceptions=True)
            # A task that is cancelled before its first step closes nothing.
            for writer in conversations:
                writer.transport.abort()
                await asyncio.gather(writer.wait_closed(), return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, Exception) and not isinstance(outcome, OSError | EOFError):
            raise outcome


@asynccontextmanager
async def closing_connection(writer: asyncio.StreamWriter) -> AsyncIterator[None]:
    """Close the connection at the end, and wait until its socket is closed.

    `StreamWriter.close` alone leaves the socket to a later turn of the loop, which a test that
    ends first never takes.
    """
    try:
        yield
    except asyncio.CancelledError:
        writer.transport.abort()
        raise
    finally:
        writer.close()
        await asyncio.gather(writer.wait_closed(), return_exceptions=True)


@asynccontextmanager
async def passing_back(
    server: asyncio.StreamReader, client: asyncio.StreamWriter
) -> AsyncIterator[asyncio.Task[None]]:
    """Pass what the server sends on to the client, which loses its connection with the server's."""
    task = asyncio.create_task(_pass(server, client))
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
    writer.close()
