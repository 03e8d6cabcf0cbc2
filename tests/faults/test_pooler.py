"""pgbouncer in transaction mode.

Each transaction may be on another session, and no session is anyone's own.
"""

from __future__ import annotations

import asyncio
import itertools
import re
import shutil
import socket
import subprocess
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING
from uuid import uuid4

import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import create_async_engine

from domain import KnowledgeChunk, Vector
from repositories import Database
from repositories.embedded.account import Account
from repositories.postgres.settings import Settings
from repositories.testing.tables import empty
from tests.conftest import free_port
from tests.faults.pairs import rows_by_name, write_first, write_second
from tests.faults.recorder import Recorder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pydantic import SecretStr

    from repositories.testing.servers import TestServer
    from tests.faults.conftest import Effort, Promises

PROMISE = "A pooler in transaction mode changes nothing"
# The startup parameters that pgbouncer forwards; it refuses all others.
FORWARDED = {"user", "database", "client_encoding", "application_name", "TimeZone"}
# Statements whose effect stays in the session after the transaction, for the next client.
STAYS = (
    "pg_advisory_lock",
    "pg_try_advisory_lock",
    "LISTEN",
    "PREPARE ",
    "WITH HOLD",
    "SET SESSION",
)
SETTING = re.compile(r"set_config\([^()]*, (\w+)\)")
PROGRAM = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin:/usr/local/sbin")


@pytest.fixture
def url(servers: dict[int, TestServer]) -> SecretStr:
    """A database of this test's own: strangers are looked at, too."""
    return servers[18].clone()


def through(url: SecretStr, port: int, **settings: object) -> Settings:
    pooled = Settings(url=url)
    parts = {
        "database": pooled.database,
        "user": pooled.user,
        "password": pooled.password,
        "sslmode": "disable",
    }
    return Settings(host="127.0.0.1", port=port, **{"pooler": "pgbouncer", **parts, **settings})


async def everything(database: Database, name: str) -> None:
    """Use what has to do with the session.

    Settings, repeatedly prepared statements, savepoints, cursors and committed operations.
    """
    operation = uuid4()
    async with database.unit_of_work(operation_id=operation) as uow:
        await write_first(uow, name)
        async with uow.savepoint():
            await write_second(uow, name)
        chunk = KnowledgeChunk(
            chunk_id=name,
            source="a.md",
            source_type="doc",
            content="retries are bounded",
            embedding=Vector([0.5] * 8),
        )
        await uow.knowledge.upsert_many([chunk])
        await uow.runs.claim(
            name,
            7,
            base_sha="a" * 40,
            head_sha="b" * 40,
            delivery_id=str(operation),
            action="opened",
        )
        result = await uow._transaction.execute(text("SELECT current_setting('statement_timeout')"))
        assert result.scalar_one() == "30s"
        await uow.commit()
    assert await database.outcome(operation)
    async with database.reader() as view:
        assert [hit async for hit in view.reviews.stream(batch_size=1)]
        assert await view.knowledge.vector_search(Vector([0.5] * 8), limit=1)
        assert await view.knowledge.hybrid_search("retries", Vector([0.5] * 8), limit=1)


async def test_what_is_sent_needs_no_session_of_ones_own(
    database_url: SecretStr, promises: Promises
) -> None:
    recorder, unguarded = await recorded(database_url), await recorded(database_url, pooler="none")
    assert all(startup.keys() <= FORWARDED for startup in recorder.startups)
    statements = recorder.statements
    assert {name for name, _ in statements} == {""}, "a named statement stays with its session"
    assert [query for _, query in statements if any(words in query for words in STAYS)] == []
    settings = [setting for _, query in statements for setting in SETTING.findall(query)]
    assert len(settings) == sum(query.count("set_config(") for _, query in statements) > 0
    assert set(settings) == {"true"}, "a setting ends with its transaction"
    first = [
        following
        for (_, query), (_, following) in itertools.pairwise(statements)
        if query.startswith("BEGIN")
    ]
    # SQLAlchemy's own questions, of a new server and of a connection that was idle, come before any
    # setting.
    assert [
        query
        for query in first
        if not query.startswith(("SELECT set_config(", "select pg_catalog.", ";"))
    ] == []
    assert sum(query.startswith("SELECT set_config(") for query in first) > 3
    named = sum(name != "" for name, _ in unguarded.statements)
    refused = unguarded.startups[0].keys() - FORWARDED
    assert named > 0
    assert refused
    promises(
        PROMISE,
        f"0 of {len(statements)} statements named, 0 settings outside of their transaction, and "
        f"{len(recorder.startups[0])} "
        "startup parameters, all of which pgbouncer forwards (read from the protocol)",
        control=f"{named} statements named and {len(refused)} startup parameters that it refuses, "
        "unless the settings name it",
    )


async def recorded(url: SecretStr, **settings: object) -> Recorder:
    """Return what is sent while everything is used that has to do with the session."""
    address = Settings(url=url).addresses[0]
    recorder = Recorder(f"{address.host}/.s.PGSQL.{address.port}")
    async with (
        recorder.listening() as port,
        Database(through(url, port, pool_size=1, max_overflow=0, **settings)) as database,
    ):
        await everything(database, "acme/api")
        await empty(database)
    return recorder


@contextmanager
def pgbouncer(url: SecretStr, folder: Path, port: int) -> Iterator[None]:
    """Run pgbouncer in transaction mode with two sessions, as the owner of the server's socket."""
    settings, account = Settings(url=url), Account.for_server()
    assert settings.password is not None
    assert PROGRAM is not None
    host = settings.addresses[0]
    (folder / "users.txt").write_text(
        f'"{settings.user}" "{settings.password.get_secret_value()}"\n'
    )
    (folder / "pgbouncer.ini").write_text(
        f"[databases]\n* = host={host.host} port={host.port}\n[pgbouncer]\n"
        f"listen_addr = 127.0.0.1\nlisten_port = {port}\n"
        "unix_socket_dir =\nauth_type = scram-sha-256\nauth_file = users.txt\n"
        "pool_mode = transaction\ndefault_pool_size = 2\n"
        "max_client_conn = 100\n"
    )
    for path in (folder, folder / "pgbouncer.ini", folder / "users.txt"):
        account.own(path)
    user, group = (account.uid, account.gid) if account.switches else (None, None)
    command = [PROGRAM, "--quiet", "pgbouncer.ini"]
    with subprocess.Popen(
        command,
        cwd=folder,
        user=user,
        group=group,
        extra_groups=[] if account.switches else None,
        stderr=subprocess.PIPE,
    ) as running:
        try:
            wait_for(port, running)
            yield
        finally:
            running.terminate()


def wait_for(port: int, running: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 10
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            assert running.poll() is None, running.stderr and running.stderr.read()
            assert time.monotonic() < end
            time.sleep(0.02)
        else:
            return


@pytest.mark.skipif(PROGRAM is None, reason="pgbouncer is not installed")
async def test_behind_pgbouncer_everything_works_and_no_setting_reaches_another_client(
    url: SecretStr, effort: Effort, promises: Promises, tmp_path: Path
) -> None:
    port, times = free_port(), effort.times(4, 60)
    patient = through(url, port, pool_size=5, pool_timeout=120)
    with pgbouncer(url, tmp_path, port):
        async with Database(patient) as one, Database(patient) as another:
            names = (
                (database, f"acme/{number}/{id(database)}")
                for number in range(times)
                for database in (one, another)
            )
            await asyncio.gather(*(everything(*each) for each in names))
            assert set((await rows_by_name(one)).values()) == {2}
        left = [await settings_of_a_stranger(url, port) for _ in range(4)]
        assert left == [[]] * 4
        tried = failed = 0
        while tried < effort.times(40, 200) or (failed == 0 and tried < 4_000):
            tried, failed = tried + 40, failed + await of_the_driver_alone(url, port, 40)
    assert failed > 0
    promises(
        PROMISE,
        f"0 errors of {6 * times} transactions from two pools on two sessions; 0 settings left "
        "for other clients",
        control=f"{failed} of {tried} transactions of SQLAlchemy and asyncpg alone failed",
    )


async def settings_of_a_stranger(url: SecretStr, port: int) -> list[str]:
    """Return the settings in the session of another client, without those that it set itself."""
    settings = through(url, port)
    password = settings.password.get_secret_value() if settings.password else None
    connection = await asyncpg.connect(
        host="127.0.0.1",
        port=port,
        user=settings.user,
        password=password,
        database=settings.database,
        ssl=False,
        statement_cache_size=0,
    )
    try:
        own = "'client_encoding', 'application_name', 'TimeZone'"
        query = f"SELECT name FROM pg_settings WHERE source = 'session' AND name NOT IN ({own})"
        return [row[0] for row in await connection.fetch(query)]
    finally:
        await connection.close()


async def of_the_driver_alone(url: SecretStr, port: int, times: int) -> int:
    """Return how many of so many transactions fail where statements are prepared by name."""
    settings = through(url, port)
    password = settings.password.get_secret_value() if settings.password else ""
    engine = create_async_engine(
        f"postgresql+asyncpg://{settings.user}:{password}@127.0.0.1:{port}/{settings.database}?ssl=disable"
    )

    async def transaction(number: int) -> bool:
        try:
            async with engine.begin() as connection:
                await connection.execute(
                    text(f"SELECT {number % 7}, :number"), {"number": str(number)}
                )
                await connection.execute(text("SELECT count(*) FROM reviews"))
        except SQLAlchemyError:
            return False
        return True

    succeeded = await asyncio.gather(*(transaction(number) for number in range(times)))
    await engine.dispose()
    return succeeded.count(False)
