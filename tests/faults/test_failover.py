"""A primary fails, its standby is promoted, and a program with both hosts follows."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from time import monotonic
from typing import TYPE_CHECKING

import asyncpg
import pytest
from sqlalchemy import text

from domain.errors import ReadOnly
from repositories import Database
from tests.conftest import free_port
from tests.faults.crashes import Book, kill_everything, writing
from tests.faults.pairs import rows_by_name, write_first, write_second
from tests.faults.standbys import at, make_it_follow, make_standby, start
from tests.listener import listening

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from repositories import UnitOfWork
    from repositories.embedded import EmbeddedServer
    from tests.faults.conftest import Effort, Promises

PROMISE = "A failover is followed to the new primary"


@pytest.fixture
def leases() -> Iterator[ExitStack]:
    with ExitStack() as leases:
        yield leases


async def asked(server: EmbeddedServer, query: str) -> object:
    connection = await asyncpg.connect(server.admin_url.get_secret_value())
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


async def port_of(uow: UnitOfWork) -> int:
    result = await uow._transaction.execute(text("SELECT inet_server_port()"))
    return int(result.scalar_one())


async def reads_from(database: Database) -> int:
    """Read and return the port of the server that answered."""
    async with database.reader() as view:
        await view.reviews.count()
        result = await view._transaction.execute(text("SELECT inet_server_port()"))
        return int(result.scalar_one())


async def writes_to(database: Database, name: str, *, attempts: int = 10) -> int:
    """Write a pair, again where that is safe, and return the port of the server that took it."""

    async def work(uow: UnitOfWork) -> int:
        await write_first(uow, name)
        await write_second(uow, name)
        return await port_of(uow)

    return await database.run(work, attempts=attempts)


@asynccontextmanager
async def swallowing(port: int) -> AsyncIterator[None]:
    """Accept connections on this port and never answer, as a machine that hangs."""

    async def swallow(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read()

    async with AsyncExitStack() as stack:
        async with asyncio.timeout(10):
            while True:
                try:
                    await stack.enter_async_context(listening(swallow, port=port))
                    break
                except OSError:  # who was killed has not left it yet
                    await asyncio.sleep(0.02)
        yield


async def connected_alone(
    server: EmbeddedServer, *ports: int, within: float = 10
) -> asyncpg.Connection:
    """Connect with asyncpg by itself, given the same hosts."""
    settings = at(server, *ports)
    password = settings.password.get_secret_value() if settings.password else None
    return await asyncpg.connect(
        host=["127.0.0.1"] * len(ports),
        port=list(ports),
        user=settings.user,
        password=password,
        database=settings.database,
        ssl=False,
        timeout=within,
    )


async def refuses_writes_where_the_driver_looks_first(old: EmbeddedServer, *ports: int) -> bool:
    """Return whether asyncpg alone, with the same hosts, connects to a read-only server."""
    connection = await connected_alone(old, *ports)
    try:
        await connection.execute("DELETE FROM reviews")
    except asyncpg.ReadOnlySQLTransactionError:
        return True
    finally:
        await connection.close()
    return False


async def hangs_where_the_driver_looks_first(primary: EmbeddedServer, *ports: int) -> bool:
    """Return whether asyncpg alone, with the same hosts, waits for the dead one for two seconds."""
    try:
        connection = await connected_alone(primary, *ports, within=2)
    except TimeoutError:
        return True
    await connection.close()
    return False


async def test_the_writer_follows_the_primary_whichever_server_that_is(
    tmp_path: Path, leases: ExitStack, effort: Effort, promises: Promises
) -> None:
    if not effort.full:
        pytest.skip("starts six servers: make faults does")
    first, second = free_port(), free_port()
    old = leases.enter_context(await asyncio.to_thread(start, tmp_path / "first", first))
    settings = at(old, first, second, pool_size=3, max_overflow=0, sslmode="disable")
    async with Database(settings, migrate=True):
        pass
    await asyncio.to_thread(make_standby, old, tmp_path / "second")
    new = leases.enter_context(await asyncio.to_thread(start, tmp_path / "second", second))
    assert await asked(new, "SELECT pg_is_in_recovery()") is True
    await acknowledge_together(old)

    book = Book()
    standby_first = at(old, second, first, pool_size=3, max_overflow=0, sslmode="disable")
    async with Database(settings) as database, Database(standby_first) as other:
        assert await writes_to(database, "before") == first
        assert await writes_to(other, "before, with the standby as its first host") == first
        assert [await reads_from(one) for one in (database, other)] == [second, second]

        async with writing(database, book, writers=3):
            await book.commits_again()
            killed = monotonic()
            kill_everything(old)
            await asked(new, "SELECT pg_promote()")
            followed = await book.commits_again() - killed
        assert await writes_to(other, "after the failover") == second
        assert [await reads_from(one) for one in (database, other)] == [second, second], (
            "though it is the primary now"
        )
        differences = await book.compared(database)
    assert (differences.lost, differences.half, differences.refused_and_kept) == (0, 0, 0)

    # The old primary comes back as the standby it is now, and is the first host that answers.
    await asyncio.to_thread(make_it_follow, tmp_path / "first")
    old = leases.enter_context(await asyncio.to_thread(start, tmp_path / "first", first))
    async with Database(settings) as database:
        assert await writes_to(database, "the old primary is a standby") == second
        assert await reads_from(database) == first
    alone = await refuses_writes_where_the_driver_looks_first(old, first, second)
    assert alone

    # With the standby alone there is something to read, and what is written later finds the primary
    # that is back.
    kill_everything(new)
    async with Database(settings) as database:
        assert "before" in await rows_by_name(database)
        with pytest.raises(ReadOnly):
            await writes_to(database, "nowhere", attempts=1)
        new = leases.enter_context(await asyncio.to_thread(start, tmp_path / "second", second))
        assert await writes_to(database, "the primary is back", attempts=2) == second

        # A machine that hangs in place of the first host costs its own time for each new
        # connection, and no more.
        assert await reads_from(database) == first
        kill_everything(old)
        await database.read_engine.dispose()
        assert await reads_from(database) == second, "the standby is away"
        async with swallowing(first):
            await database.engine.dispose()
            began = monotonic()
            assert await writes_to(database, "the first host hangs") == second
            hanging = monotonic() - began
            assert await hangs_where_the_driver_looks_first(new, first, second)

    promises(
        PROMISE,
        f"{followed:.2f} s from the kill of the primary to the next commit on the promoted "
        "standby; 0 writes to the old primary "
        f"once it was a standby; {differences.lost} of {len(book.committed):,} commits lost, "
        "acknowledged by both servers",
        control="asyncpg by itself stays with the first host that answers, which refuses "
        "every write",
    )
    promises(
        PROMISE,
        f"{hanging:.2f} s to connect where the first host hangs, with a connect_timeout of 1 s "
        "for each",
        control="asyncpg by itself, given 2 s, never tries the second host",
    )


async def acknowledge_together(primary: EmbeddedServer) -> None:
    """Let a commit wait for the standby as well.

    Commits that it never received would be lost with the primary.
    """
    await asked(primary, "ALTER SYSTEM SET synchronous_standby_names = '*'")
    await asked(primary, "SELECT pg_reload_conf()")
    async with asyncio.timeout(10):
        while await asked(primary, "SELECT sync_state FROM pg_stat_replication") != "sync":  # noqa: ASYNC110 (the server is waited for)
            await asyncio.sleep(0.02)
