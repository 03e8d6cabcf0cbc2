"""A cancelled task.

Wherever it was, nothing is left running, half written or lost, and it stays cancelled.
"""

from __future__ import annotations

import asyncio
import time
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING

import anyio
import pytest
import pytest_asyncio
from sqlalchemy import event, func, select, text

from domain import Review
from domain.errors import (
    Conflict,
    DatabaseUnavailable,
    PoolExhausted,
    TransactionAborted,
    UnitOfWorkClosed,
)
from repositories import Database
from repositories.embedded import EmbeddedServer
from repositories.postgres.cancellation import run_to_completion
from repositories.postgres.connection import wait_closed
from repositories.postgres.settings import Settings
from repositories.testing.tables import empty
from tests.faults.pairs import backends, busy, rows_by_name, write_first, write_second
from tests.listener import listening

if TYPE_CHECKING:
    from pydantic import SecretStr

    from repositories import UnitOfWork
    from repositories.testing.servers import TestServer

LONG = text("SELECT pg_sleep(60)")


@pytest.fixture(scope="module")
def url(servers: dict[int, TestServer]) -> SecretStr:
    return servers[18].clone()


@pytest_asyncio.fixture
async def database(url: SecretStr) -> AsyncIterator[Database]:
    """One connection, so that one that is lost is missed."""
    async with Database.from_url(url, pool_size=1, max_overflow=0, pool_timeout=5) as database:
        yield database
        await empty(database)


async def until(happened: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(10):
        while not await happened():  # noqa: ASYNC110 (the server is what is waited for)
            await asyncio.sleep(0.005)


async def long_statement(uow: UnitOfWork) -> None:
    await uow._transaction.execute(LONG)


async def long_read(uow: UnitOfWork) -> None:
    await uow._transaction.rows(select(func.pg_sleep(60)))


async def cancelled(work: Awaitable[None]) -> None:
    """Cancel a task that waits for the server; it has to end as a cancelled one."""
    task = asyncio.ensure_future(work)
    await asyncio.sleep(0.1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def cancelled_by_anyio(work: Awaitable[None]) -> None:
    with anyio.move_on_after(0.1) as scope:
        await work
    assert scope.cancelled_caught


both = pytest.mark.parametrize("cancel", [cancelled, cancelled_by_anyio])
Cancel = Callable[[Awaitable[None]], Awaitable[None]]


@both
@pytest.mark.parametrize("statement", [long_statement, long_read])
async def test_a_statement_ends_with_its_task_also_where_the_task_is_cancelled_again_and_again(
    database: Database, cancel: Cancel, statement: Callable[[UnitOfWork], Awaitable[None]]
) -> None:
    async def work() -> None:
        async with database.unit_of_work() as uow:
            await write_first(uow, "acme/api")
            await statement(uow)

    await cancel(work())
    await wait_closed()
    assert await busy(database) == []
    assert await rows_by_name(database) == {}


@both
async def test_a_cancelled_savepoint_stays_cancelled_and_keeps_nothing(
    database: Database, cancel: Cancel
) -> None:
    async def work() -> None:
        async with database.unit_of_work() as uow:
            await write_first(uow, "acme/api")
            async with uow.savepoint():
                await long_statement(uow)

    await cancel(work())
    assert await rows_by_name(database) == {}


async def test_a_statement_that_timed_out_in_a_savepoint_takes_the_whole_unit_of_work_with_it(
    database: Database,
) -> None:
    async with database.unit_of_work() as uow:
        await write_first(uow, "acme/api")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05), uow.savepoint():
                await long_statement(uow)
        with pytest.raises(TransactionAborted):
            await write_second(uow, "acme/api")
        with pytest.raises(TransactionAborted):
            await uow.commit()
        assert uow.committed is False
    assert await rows_by_name(database) == {}


async def test_a_savepoint_that_was_cancelled_between_statements_is_undone_alone(
    database: Database,
) -> None:
    async with database.unit_of_work() as uow:
        await write_first(uow, "acme/api")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05), uow.savepoint():
                await write_first(uow, "acme/other")
                await asyncio.sleep(60)
        await write_second(uow, "acme/api")
        await uow.commit()
    assert await rows_by_name(database) == {"acme/api": 2}


@both
async def test_a_cancelled_stream_gives_its_connection_back(
    database: Database, cancel: Cancel
) -> None:
    async with database.unit_of_work() as uow:
        for number in range(1, 6):
            uow.reviews.add(Review(repo="acme/api", pr_number=number))
        await uow.commit()

    async def read() -> None:
        async with database.reader() as view:
            async for _ in view.reviews.stream(batch_size=2):
                await asyncio.sleep(60)

    await cancel(read())
    assert await rows_by_name(database) == {"acme/api": 5}


@both
async def test_who_is_cancelled_while_waiting_for_the_pool_takes_no_connection(
    database: Database, cancel: Cancel
) -> None:
    async def waiting() -> None:
        async with database.unit_of_work():
            raise AssertionError("no connection should be available")

    async with database.unit_of_work():
        await cancel(waiting())
    assert database.pool_figures().checked_out == 0
    assert await rows_by_name(database) == {}


@both
async def test_who_is_cancelled_between_two_attempts_does_not_try_again(
    database: Database, cancel: Cancel
) -> None:
    tried = 0

    async def work(uow: UnitOfWork) -> None:
        nonlocal tried
        tried += 1
        raise Conflict("never")

    await cancel(database.run(work, attempts=1_000))
    before = tried
    await asyncio.sleep(0.05)
    assert tried == before > 0
    assert database.pool_figures().checked_out == 0


@both
async def test_who_is_cancelled_in_the_work_does_not_try_again(
    database: Database, cancel: Cancel
) -> None:
    tried = 0

    async def work(uow: UnitOfWork) -> None:
        nonlocal tried
        tried += 1
        async with uow.savepoint():
            await long_statement(uow)

    await cancel(database.run(work))
    assert tried == 1


@both
async def test_who_is_cancelled_while_connecting_leaves_no_connection(
    database: Database, cancel: Cancel
) -> None:
    async def silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read()
        gone.set()

    gone = asyncio.Event()
    async with listening(silent) as port:
        unreachable = Database.from_url(
            f"postgresql://recollect:x@127.0.0.1:{port}/recollect?sslmode=disable"
        )
        await cancel(unreachable.open())
        await asyncio.wait_for(gone.wait(), 5)
        with pytest.raises(UnitOfWorkClosed):
            unreachable.unit_of_work()


@both
async def test_closing_comes_to_its_end_although_its_task_is_cancelled(
    url: SecretStr, database: Database, cancel: Cancel, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = await backends(database)
    other = Database.from_url(url)
    await other.open()
    dispose = other.engine.dispose

    async def slowly() -> None:
        await asyncio.sleep(0.2)
        await dispose()

    monkeypatch.setattr(type(other.engine), "dispose", lambda engine: slowly())
    await cancel(other.close())
    await until(lambda: is_at_most(database, before))


async def is_at_most(database: Database, number: int) -> bool:
    return await backends(database) <= number


async def test_closing_a_database_closes_the_connection_of_a_unit_of_work_that_is_still_open(
    url: SecretStr, database: Database
) -> None:
    before = await backends(database)
    async with Database.from_url(url) as other:
        uow = other.unit_of_work()
        await uow.__aenter__()
        await write_first(uow, "acme/api")
    assert await backends(database) == before + 1
    await uow.__aexit__(None, None, None)
    await until(lambda: is_at_most(database, before))


async def test_a_server_whose_start_was_cancelled_is_released(
    servers: dict[int, TestServer], url: SecretStr
) -> None:
    started: list[EmbeddedServer] = []

    def start() -> tuple[EmbeddedServer, Settings]:
        time.sleep(0.2)
        server = EmbeddedServer.find(servers[18].server.data_dir)
        assert server is not None
        started.append(server)
        return server, Settings(url=url)

    opening = asyncio.ensure_future(Database(Settings(url=url), embedded=start).open())
    await asyncio.sleep(0.05)
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    assert [server._lease for server in started] == [None]


# What a cancelled commit came to


async def commit_cancelled(database: Database, uow: UnitOfWork) -> asyncio.CancelledError:
    async def work() -> None:
        async with uow:
            await write_first(uow, "acme/api")
            await write_second(uow, "acme/api")
            event.listen(database.engine.sync_engine, "commit", lambda _: task.cancel(), once=True)
            await uow.commit()

    task = asyncio.ensure_future(work())
    with pytest.raises(asyncio.CancelledError) as caught:
        await task
    return caught.value


async def test_a_cancelled_commit_is_carried_out_and_says_so(database: Database) -> None:
    uow = database.unit_of_work()
    cancellation = await commit_cancelled(database, uow)
    assert uow.committed is True
    assert "was carried out" in "".join(traceback.format_exception(cancellation))
    assert await rows_by_name(database) == {"acme/api": 2}


async def test_a_commit_that_anyio_cancels_is_carried_out(database: Database) -> None:
    uow = database.unit_of_work()
    with anyio.CancelScope() as scope:
        async with uow:
            await write_first(uow, "acme/api")
            await write_second(uow, "acme/api")
            event.listen(database.engine.sync_engine, "commit", lambda _: scope.cancel(), once=True)
            await uow.commit()
    assert scope.cancelled_caught
    assert uow.committed is True
    assert await rows_by_name(database) == {"acme/api": 2}


async def test_a_timeout_tells_what_became_of_the_commit_that_it_cancelled(
    database: Database,
) -> None:
    uow = database.unit_of_work()
    with pytest.raises(TimeoutError) as caught:
        async with asyncio.timeout(None) as timeout, uow:
            await write_first(uow, "acme/api")
            event.listen(
                database.engine.sync_engine, "commit", lambda _: timeout.reschedule(0), once=True
            )
            await uow.commit()
    assert uow.committed is True
    assert "was carried out" in "".join(traceback.format_exception(caught.value))


async def test_who_is_cancelled_hears_of_a_failure_as_the_cause() -> None:
    async def failing() -> None:
        await asyncio.sleep(0.01)
        raise DatabaseUnavailable("refused")

    async def leaking() -> None:
        await asyncio.sleep(0.01)
        raise ValueError("canary-7Qx")

    for work, cause in ((failing, DatabaseUnavailable), (leaking, None)):
        task = asyncio.ensure_future(run_to_completion(work()))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError) as caught:
            await task
        assert type(caught.value.__cause__) is (cause or type(None))
        assert "canary" not in "".join(traceback.format_exception(caught.value))


async def test_a_nested_unit_of_work_without_a_free_connection_exhausts_the_pool_without_hanging(
    url: SecretStr,
) -> None:
    async with Database.from_url(url, pool_size=1, max_overflow=0, pool_timeout=0.1) as small:
        async with small.unit_of_work() as uow:
            with pytest.raises(PoolExhausted) as caught:
                async with small.unit_of_work():
                    raise AssertionError("no connection should be available")
            await write_first(uow, "acme/outer")
        figures = {
            "size": 1,
            "max_overflow": 0,
            "checked_in": 0,
            "checked_out": 1,
            "overflow": 0,
            "total": 1,
        }
        assert caught.value.figures == figures
        assert await rows_by_name(small) == {}
