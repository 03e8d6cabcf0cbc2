"""The settings of a session, and what an engine shows of them."""

from __future__ import annotations

import logging
import socket
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import Executable, insert, select, text

from domain import errors
from repositories.embedded import EmbeddedServer
from repositories.postgres.errors import translating
from repositories.postgres.settings import Settings
from tests.integration.engine.support import SECRET, notes, on_posix, opened, parents

if TYPE_CHECKING:
    from pydantic import SecretStr
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

pytestmark = on_posix

# Settings of ours that the server lists as its own; its check of clients needs support by the
# operating system.
SESSION = {
    "TimeZone": "UTC",
    "application_name": "recollect",
    "client_connection_check_interval": "2000",
    "default_transaction_isolation": "read committed",
    "gin_fuzzy_search_limit": "0",
    "idle_in_transaction_session_timeout": "30000",
    "jit": "off",
    "lock_timeout": "5000",
    "plan_cache_mode": "force_custom_plan",
    "search_path": '"public", pg_temp',
    "standard_conforming_strings": "on",
    "statement_timeout": "30000",
}


async def shown(connection: AsyncConnection, query: Executable) -> dict[str, str]:
    return {row[0]: row[1] for row in await connection.execute(query)}


async def test_a_session_is_what_the_settings_say(engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        query = text(
            "SELECT name, setting FROM pg_settings WHERE source = 'client' AND name <> "
            "'client_encoding'"
        )
        assert await shown(connection, query) == SESSION


async def test_options_of_the_url_go_before_ours(postgres: EmbeddedServer) -> None:
    settings = Settings(
        url=postgres.url.get_secret_value() + "&options=-c%20jit=on%20-c%20work_mem=5MB"
    )
    async with opened(settings) as engine, engine.connect() as connection:
        values = [
            (await connection.execute(text(f"SHOW {name}"))).scalar_one()
            for name in ("jit", "work_mem")
        ]
        assert values == ["on", "5MB"]


async def test_a_temporary_table_hides_no_table(engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        await connection.execute(text("CREATE TEMP TABLE parents (id int)"))
        assert (await connection.execute(text("SELECT count(*) FROM parents"))).scalar_one() == 1
        await connection.rollback()


async def test_behind_a_pooler_a_transaction_has_the_settings_and_the_session_has_not(
    url: SecretStr,
) -> None:
    query = text(
        "SELECT name, setting FROM pg_settings WHERE source IN ('client', 'session') AND name <> "
        "'client_encoding'"
    )
    async with (
        opened(Settings(url=url, pooler="pgbouncer")) as engine,
        engine.connect() as connection,
    ):
        assert await shown(connection, query) == SESSION | {
            "transaction_isolation": "read committed"
        }
        await connection.commit()
        driver: Any = (await connection.get_raw_connection()).driver_connection
        outside = await driver.fetch(str(query))
        assert {row["name"] for row in outside} == {"TimeZone", "application_name"}
        assert await driver.fetchval("SELECT count(*) FROM pg_prepared_statements") == 0


async def test_a_readonly_engine_only_reads(url: SecretStr) -> None:
    for pooler in ("none", "pgbouncer"):
        async with (
            opened(Settings(url=url, pooler=pooler), readonly=True) as engine,
            engine.connect() as connection,
        ):
            assert (await connection.execute(select(parents.c.id))).scalar_one() == 1
            with pytest.raises(errors.ReadOnly), translating():
                await connection.execute(insert(parents).values(id=2))


async def test_a_tcp_connection_is_kept_alive(postgres: EmbeddedServer) -> None:
    assert postgres.tcp_url is not None
    async with opened(Settings(url=postgres.tcp_url)) as engine, engine.connect() as connection:
        driver: Any = (await connection.get_raw_connection()).driver_connection
        if driver.transport is None:
            pytest.skip("asyncpg does not pass its transport: tests/unit/test_private_api.py fails")
        connected = driver.transport.get_extra_info("socket")
        assert connected.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            assert connected.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 15_000
            assert connected.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 30


async def test_neither_the_engine_nor_its_log_shows_a_secret(
    url: SecretStr, caplog: pytest.LogCaptureFixture
) -> None:
    settings = Settings(url=url, echo=True)
    assert settings.password is not None
    with caplog.at_level(logging.DEBUG, logger="sqlalchemy"):
        async with opened(settings) as engine, engine.begin() as connection:
            await connection.execute(insert(notes).values(id=77, email=SECRET))
            await connection.rollback()
    report = f"{engine} {engine!r} {engine.sync_engine!r} {engine.url!r} {caplog.text}"
    assert "INSERT INTO notes" in report
    assert SECRET not in report
    assert settings.password.get_secret_value() not in report
