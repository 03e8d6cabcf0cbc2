"""Connections that end, are replaced or run out."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import text

from domain import errors
from repositories.postgres import connection as connections
from repositories.postgres import pool as pools
from repositories.postgres.direct import commit_phase
from repositories.postgres.errors import translating
from tests.integration.engine.support import on_posix, pid_of, pid_of_sleeper, pool, terminate

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

pytestmark = on_posix


async def test_a_backend_that_ends_takes_the_transaction_with_it_and_nothing_else(
    engine: AsyncEngine,
) -> None:
    async with engine.connect() as connection:
        await terminate(engine, await pid_of(connection))
        with pytest.raises(errors.ConnectionLost), translating():
            await connection.execute(text("SELECT 1"))
    async with engine.connect() as connection:
        await connection.execute(text("SELECT 1"))


async def test_a_backend_that_ends_during_a_statement_says_why(engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        sleeping = asyncio.ensure_future(connection.execute(text("SELECT pg_sleep(5)")))
        pid = await pid_of_sleeper(engine)
        await terminate(engine, pid)
        with pytest.raises(errors.ConnectionLost) as caught, translating():
            await sleeping
        assert caught.value.sqlstate == "57P01"


async def test_a_connection_whose_begin_failed_is_replaced_alone(
    engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with engine.connect() as connection, engine.connect() as other:
        pid = await pid_of(other)
        driver: Any = (await connection.get_raw_connection()).driver_connection
        monkeypatch.setattr(connections, "SETTING", "unknown_setting")
        driver.set_local_tenant("acme")
        with pytest.raises(errors.RecollectError), translating():
            await connection.execute(text("SELECT 1"))
        await connection.rollback()
        assert driver.is_closed()
        assert (await connection.execute(text("SELECT 1"))).scalar_one() == 1
        assert await pid_of(other) == pid
    async with engine.connect() as one, engine.connect() as another:
        assert pid in {await pid_of(one), await pid_of(another)}


async def test_a_connection_that_comes_back_to_a_disposed_pool_is_closed(
    engine: AsyncEngine,
) -> None:
    async with engine.connect() as connection:
        driver: Any = (await connection.get_raw_connection()).driver_connection
        await engine.dispose()
        assert not driver.is_closed()
    assert driver.is_closed()


async def test_a_commit_that_was_never_sent_is_known_to_be_lost(engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        await terminate(engine, await pid_of(connection))
        phase = await connection.run_sync(commit_phase)
        with pytest.raises(errors.ConnectionLost), translating(phase):
            await connection.commit()


async def test_an_idle_connection_that_ended_is_replaced_in_silence(engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        pid = await pid_of(connection)
        async with engine.connect() as other:
            await connection.close()
            await other.execute(text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": pid})
            await asyncio.sleep(
                0.05
            )  # its last words and its end may arrive with that answer, and take a turn each
    async with engine.connect() as connection, engine.connect() as another:
        assert pid not in {await pid_of(connection), await pid_of(another)}


async def test_only_a_connection_that_was_idle_is_checked(
    engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    checks: list[object] = []
    async with engine.connect() as connection:
        adapter: Any = type((await connection.get_raw_connection()).dbapi_connection)

        def ping(checked: object) -> None:
            checks.append(checked)

        monkeypatch.setattr(adapter, "ping", ping)
    monkeypatch.setattr(pools, "FRESH_SECONDS", 0.2)
    async with engine.connect() as connection:
        await connection.execute(text("SELECT pg_sleep(0.25)"))
    async with engine.connect():
        assert checks == []
    await asyncio.sleep(0.25)
    async with engine.connect():
        assert len(checks) == 1


async def test_a_read_only_server_makes_units_of_work_reconnect_and_a_reader_keeps_its_connection(
    engine: AsyncEngine,
) -> None:
    async with engine.connect() as connection, engine.connect() as idle:
        before = {await pid_of(connection), await pid_of(idle)}
        await connection.execute(
            text("SELECT set_config('default_transaction_read_only', 'on', false)")
        )
        await connection.commit()
        with pytest.raises(errors.ReadOnly), translating():
            await connection.execute(text("CREATE TABLE unwritten ()"))
    async with engine.connect() as connection, engine.connect() as another:
        assert before & {await pid_of(connection), await pid_of(another)} == set(), (
            "any of them may lead to the old primary"
        )
        pid = await pid_of(connection)
        await connection.rollback()
        await connection.execution_options(postgresql_readonly=True)
        with pytest.raises(errors.ReadOnly), translating():
            await connection.execute(text("CREATE TABLE unwritten ()"))
        await connection.rollback()
        assert await pid_of(connection) == pid, "who asked for a read-only transaction has got one"


async def test_the_error_of_an_exhausted_pool_has_its_counts_and_advice(
    engine: AsyncEngine,
) -> None:
    async with engine.connect(), engine.connect(), engine.connect():
        with pytest.raises(errors.PoolExhausted, match=r"all 3 connections.*pool_size") as caught:
            await engine.connect()
    expected = {
        "size": 2,
        "max_overflow": 1,
        "checked_in": 0,
        "checked_out": 3,
        "overflow": 1,
        "total": 3,
    }
    assert caught.value.figures == expected
    assert (caught.value.__cause__, caught.value.__context__) == (None, None)
    async with engine.connect():
        assert pool(engine).figures()["checked_out"] == 1
