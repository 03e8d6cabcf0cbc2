"""The engine on a real server.

Sessions, lost hosts, and the typed error of every failure.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import traceback
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import asyncpg
import numpy as np
import pytest
from pgvector import HalfVector, Vector
from sqlalchemy import (
    Column,
    Executable,
    Float,
    Integer,
    MetaData,
    Table,
    Text,
    insert,
    literal,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import UserDefinedType

from domain import errors
from domain.schema.columns import EmbeddingColumn
from repositories.embedded import EmbeddedServer
from repositories.postgres import connection as connections
from repositories.postgres import pool as pools
from repositories.postgres.direct import commit_phase
from repositories.postgres.engine import create_engine
from repositories.postgres.errors import translate, translating
from repositories.postgres.pool import GuardedPool
from repositories.postgres.settings import Settings
from tests.conftest import free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from pydantic import SecretStr
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

SECRET = "canary-7Qx"
pytestmark = pytest.mark.skipif(
    os.name == "nt", reason="the embedded server runs on Linux and macOS"
)
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


class VectorType(UserDefinedType[Any]):
    """A minimal column type that passes vectors to the driver unchanged."""

    cache_ok = True
    render_bind_cast = True

    def __init__(self, name: str = "vector", dimensions: int = 3) -> None:
        self.name, self.dimensions = name, dimensions

    def get_col_spec(self, **_: object) -> str:
        return f"{self.name}({self.dimensions})"


metadata = MetaData()
parents = Table("parents", metadata, Column("id", Integer, primary_key=True))
notes = Table(
    "notes",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("parent_id", Integer),
    Column("email", Text, nullable=False),
    Column("data", JSONB),
    Column("embedding", VectorType()),
)
SCHEMA = (
    "CREATE TABLE parents (id int CONSTRAINT pk_parents PRIMARY KEY)",
    "CREATE TABLE notes (id int CONSTRAINT pk_notes PRIMARY KEY, parent_id int CONSTRAINT "
    "fk_notes_parent REFERENCES parents,"
    " email text NOT NULL CONSTRAINT uq_notes_email UNIQUE CONSTRAINT ck_notes_email CHECK (email "
    "<> 'bad'),"
    " data jsonb, embedding vector(3))",
    "INSERT INTO parents VALUES (1)",
)


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    folder = tmp_path_factory.mktemp("engine") / "data"
    with EmbeddedServer.start(
        folder, settings={"fsync": "off", "shared_buffers": "16MB"}, tcp_port=free_port()
    ) as running:
        yield running


@pytest.fixture(scope="module")
def url(postgres: EmbeddedServer) -> SecretStr:
    """A database with the tables of these tests."""
    created = postgres.create_database("engine_tests")

    async def fill() -> None:
        connection = await asyncpg.connect(created.get_secret_value())
        for statement in SCHEMA:
            await connection.execute(statement)
        await connection.close()

    asyncio.run(fill())
    return created


@asynccontextmanager
async def opened(settings: Settings, *, readonly: bool = False) -> AsyncIterator[AsyncEngine]:
    engine = create_engine(settings, readonly=readonly)
    try:
        yield engine
    finally:
        await engine.dispose()


@pytest.fixture
async def engine(url: SecretStr) -> AsyncIterator[AsyncEngine]:
    async with opened(Settings(url=url, pool_size=2, max_overflow=1, pool_timeout=0.2)) as engine:
        yield engine


async def terminate(engine: AsyncEngine, pid: int) -> None:
    async with engine.connect() as other:
        await other.execute(text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": pid})


def pool(engine: AsyncEngine) -> GuardedPool:
    assert isinstance(engine.pool, GuardedPool)
    return engine.pool


async def pid_of_sleeper(engine: AsyncEngine) -> int:
    query = text(
        "SELECT pid FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%' AND wait_event = "
        "'PgSleep'"
    )
    async with asyncio.timeout(5), engine.connect() as other:
        while (pid := (await other.execute(query)).scalar()) is None:
            await other.rollback()
            await asyncio.sleep(0.01)
        return int(pid)


async def pid_of(connection: AsyncConnection) -> int:
    return int((await connection.execute(text("SELECT pg_backend_pid()"))).scalar_one())


# What a session is


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


# Vectors and JSON


@pytest.mark.parametrize(
    "value",
    [
        Vector([1.0, 0.1, -3.0]),
        [1.0, 0.1, -3.0],
        (1.0, 0.1, -3.0),
        np.array([1.0, 0.1, -3.0]),
        HalfVector([1.0, 0.1, -3.0]),
    ],
    ids=lambda value: type(value).__name__,
)
async def test_vectors_go_both_ways_in_binary(engine: AsyncEngine, value: object) -> None:
    expected = [
        1.0,
        float(np.float16(0.1)) if isinstance(value, HalfVector) else float(np.float32(0.1)),
        -3.0,
    ]
    async with engine.connect() as connection:
        for kind, name in ((Vector, "vector"), (HalfVector, "halfvec")):
            settings = (
                await connection.execute(select(literal(value, VectorType(name))))
            ).scalar_one()
            assert isinstance(settings, kind)
            assert settings.to_list() == (
                expected if kind is Vector else [1.0, float(np.float16(0.1)), -3.0]
            )
        assert (await connection.execute(select(literal(None, VectorType())))).scalar_one() is None


async def test_vectors_are_stored_searched_and_refused(engine: AsyncEngine) -> None:
    rows = [
        {"id": n, "email": f"v{n}", "embedding": Vector([1.0, float(n), 0.0])} for n in range(3)
    ]
    async with engine.connect() as connection:
        await connection.execute(insert(notes), rows)
        distance = notes.c.embedding.op("<=>", return_type=Float())(Vector([1.0, 2.0, 0.0]))
        settings = (
            await connection.execute(
                select(notes.c.id, notes.c.embedding).order_by(distance).limit(1)
            )
        ).one()
        assert tuple(settings) == (2, Vector([1.0, 2.0, 0.0]))
        for wrong in (Vector([1.0]), Vector([float("nan"), 1.0, 1.0]), "1,2,3", "[a]", ["a"]):
            async with connection.begin_nested() as savepoint:
                with pytest.raises(errors.InvalidInput), translating():
                    await connection.execute(
                        insert(notes).values(id=9, email="v9", embedding=wrong)
                    )
                await savepoint.rollback()
        await connection.rollback()


async def test_a_database_without_the_extension_can_be_used_and_gets_it_later(
    postgres: EmbeddedServer,
) -> None:
    settings = Settings(
        url=postgres.create_database("without_extension"), search_path="public, extensions"
    )
    owner = await asyncpg.connect(
        postgres.admin_url.get_secret_value(), database="without_extension"
    )
    try:
        await owner.execute("DROP EXTENSION vector")
        async with opened(settings) as engine:
            async with engine.connect() as connection:
                assert (await connection.execute(text("SELECT 1"))).scalar_one() == 1
            await owner.execute(
                "CREATE SCHEMA extensions; CREATE EXTENSION vector SCHEMA extensions"
            )
            await owner.execute("GRANT USAGE ON SCHEMA extensions TO PUBLIC")
            async with engine.begin() as connection:
                assert pool(engine).figures()["total"] == 1, "this is the connection from before"
                # At what SQLAlchemy knows to be DDL it has every connection read the types again.
                await connection.run_sync(
                    Table("later", MetaData(), Column("v", VectorType())).create
                )
                vector = Vector([1.0, 2.0, 3.0])
                assert (
                    await connection.execute(select(literal(vector, VectorType())))
                ).scalar_one() == vector
    finally:
        await owner.close()


async def test_a_recreated_extension_is_learned_again(postgres: EmbeddedServer) -> None:
    settings = Settings(url=postgres.create_database("recreated_extension"))
    owner = await asyncpg.connect(
        postgres.admin_url.get_secret_value(), database="recreated_extension"
    )
    statement = select(literal(Vector([1.0, 2.0, 3.0]), VectorType()))
    try:
        async with opened(settings) as engine:
            async with engine.connect() as connection:
                await connection.execute(statement)
            await owner.execute("DROP EXTENSION vector; CREATE EXTENSION vector")
            outcomes: list[object] = []
            for _ in range(3):
                async with engine.connect() as connection:
                    try:
                        with translating():
                            outcomes.append((await connection.execute(statement)).scalar_one())
                    except errors.RecollectError as error:
                        outcomes.append(type(error))
            assert outcomes[-1] == Vector([1.0, 2.0, 3.0])
    finally:
        await owner.close()


async def test_a_moved_extension_is_read_as_text_by_old_connections_and_in_binary_by_new_ones(
    postgres: EmbeddedServer,
) -> None:
    settings = Settings(
        url=postgres.create_database("moved_extension"), search_path="public, elsewhere"
    )
    owner = await asyncpg.connect(postgres.admin_url.get_secret_value(), database="moved_extension")
    vector, half = Vector([1.0, 2.0, 3.0]), HalfVector([1.0, 2.0])
    literals = text("SELECT '[1,2,3]'::vector, '[1,2]'::halfvec, ARRAY['[1,2,3]'::vector]")
    parameters = select(literal(vector, VectorType()), literal(half, VectorType("halfvec", 2)))
    stored = text("SELECT '[1,2,3]'::vector AS embedding").columns(embedding=EmbeddingColumn())
    try:
        async with opened(settings) as engine:
            async with engine.connect() as connection:
                await owner.execute(
                    "DROP EXTENSION vector; CREATE SCHEMA elsewhere;"
                    " CREATE EXTENSION vector SCHEMA elsewhere"
                )
                await owner.execute("GRANT USAGE ON SCHEMA elsewhere TO PUBLIC")
                assert (await connection.execute(stored)).scalar_one() == vector
            pool(engine).renew()
            async with engine.connect() as connection:
                assert tuple((await connection.execute(literals)).one()) == (vector, half, [vector])
                assert tuple((await connection.execute(parameters)).one()) == (vector, half)
    finally:
        await owner.close()


async def test_after_ddl_vectors_are_known_without_asking(engine: AsyncEngine) -> None:
    hosts: list[str] = []
    vector = Vector([1.0, 2.0, 3.0])
    async with engine.connect() as connection:
        driver = (await connection.get_raw_connection()).driver_connection
        assert driver is not None
        driver.add_query_logger(
            lambda record: hosts.append(record.query) if "pg_type" in record.query else None
        )
        for name in ("first", "second"):
            await connection.run_sync(
                Table(name, MetaData(), Column("v", VectorType()), prefixes=["TEMPORARY"]).create
            )
        assert (
            await connection.execute(select(literal(vector, VectorType())))
        ).scalar_one() == vector
        await asyncio.sleep(0)  # a logger receives it one turn later
        assert hosts == []
        await driver.register_vector_types()
        await asyncio.sleep(0)
        assert hosts, "a question is seen"


async def test_json_is_exact_and_nothing_else_is_json(engine: AsyncEngine) -> None:
    data = {"text": "é \"'", "large": 2**70, "float": 0.1, "nested": [None, True, {}]}
    async with engine.connect() as connection:
        assert (await connection.execute(select(literal(data, JSONB)))).scalar_one() == data
        for wrong in (float("nan"), float("inf"), {"a": object()}, "\0"):
            with pytest.raises(errors.InvalidInput), translating():
                await connection.execute(select(literal({"value": wrong}, JSONB)))
            await connection.rollback()


# What every failure is called


class Fault(NamedTuple):
    """A statement that must fail, what that is called, and what the error must name."""

    name: str
    expected: type[errors.RecollectError]
    statement: Executable
    names: tuple[str, ...] = ()


def note(**values: object) -> Executable:
    return insert(notes).values(**{"id": 1, "email": SECRET, **values})


def raw(statement: str, **parameters: object) -> Executable:
    return text(statement).bindparams(**parameters)


FAULTS = [
    Fault(
        "unique",
        errors.AlreadyExists,
        insert(notes).values([{"id": n, "email": SECRET} for n in (1, 2)]),
        ("uq_notes_email",),
    ),
    Fault(
        "foreign key",
        errors.ReferenceViolated,
        note(parent_id=424_242),
        ("fk_notes_parent", "notes"),
    ),
    Fault(
        "check",
        errors.CheckViolated,
        note(email="bad", data={"pii": SECRET}),
        ("ck_notes_email", "notes"),
    ),
    Fault(
        "not null", errors.MissingValue, note(email=None, data={"pii": SECRET}), ("notes.email",)
    ),
    Fault("type", errors.InvalidInput, note(id=SECRET)),
    Fault("range", errors.InvalidInput, note(id=2**40)),
    Fault(
        "cast", errors.InvalidInput, raw("SELECT CAST(CAST(:value AS text) AS int)", value=SECRET)
    ),
    Fault("NUL", errors.InvalidInput, note(email=SECRET + "\0"), ("NUL",)),
    Fault("lone surrogate", errors.InvalidInput, note(email=SECRET + "\ud800")),
    Fault(
        "parameters",
        errors.InvalidInput,
        select(parents.c.id).where(parents.c.id.in_(range(40_000))),
        ("32,767",),
    ),
    Fault("privilege", errors.AccessDenied, raw("SELECT pg_read_file(:file)", file=SECRET)),
    Fault(
        "timeout",
        errors.StatementTimeout,
        raw("SELECT pg_sleep(5), CAST(:value AS text)", value=SECRET),
    ),
    Fault("no such table", errors.SchemaError, raw(f'SELECT 1 FROM "{SECRET}"'), ("42P01",)),
]


@pytest.mark.parametrize("fault", FAULTS, ids=[fault.name for fault in FAULTS])
async def test_a_failed_statement_is_called_by_its_name_without_its_values(
    engine: AsyncEngine, fault: Fault
) -> None:
    async with engine.connect() as connection:
        if fault.expected is errors.StatementTimeout:
            await connection.execute(text("SET LOCAL statement_timeout = 50"))
        with pytest.raises(fault.expected) as caught, translating():
            await connection.execute(fault.statement)
    assert type(caught.value) is fault.expected
    assert all(name in str(caught.value) for name in fault.names)
    report = f"{caught.value}{caught.value!r}{vars(caught.value)}" + "".join(
        traceback.format_exception(caught.value)
    )
    assert SECRET not in report


async def test_what_follows_a_failed_statement_is_poisoned(engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        with pytest.raises(errors.SchemaError), translating():
            await connection.execute(text("SELECT 1/0 FROM nowhere"))
        with pytest.raises(errors.TransactionAborted), translating():
            await connection.execute(text("SELECT 1"))


async def test_a_lock_is_waited_for_as_long_as_the_settings_say(url: SecretStr) -> None:
    async with (
        opened(Settings(url=url, lock_timeout=0.05)) as engine,
        engine.connect() as first,
        engine.connect() as second,
    ):
        lock = text("LOCK TABLE parents")
        await first.execute(lock)
        with pytest.raises(errors.LockTimeout), translating():
            await second.execute(lock)


async def test_a_deadlock_is_a_conflict(engine: AsyncEngine) -> None:
    async with engine.connect() as first, engine.connect() as second:
        lock = text("SELECT pg_advisory_xact_lock(:key)")
        await first.execute(lock, {"key": 1})
        await second.execute(lock, {"key": 2})
        crossed = asyncio.gather(
            first.execute(lock, {"key": 2}),
            second.execute(lock, {"key": 1}),
            return_exceptions=True,
        )
        outcomes = [
            outcome
            for outcome in await asyncio.wait_for(crossed, 10)
            if isinstance(outcome, BaseException)
        ]
        assert [type(translate(outcome)) for outcome in outcomes] == [errors.Conflict]


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


# One process, one event loop


def test_another_event_loop_is_turned_away_and_the_pool_stays_sound(url: SecretStr) -> None:
    engine = create_engine(Settings(url=url))

    async def ask() -> int:
        async with engine.connect() as connection:
            return int((await connection.execute(text("SELECT 1"))).scalar_one())

    with asyncio.Runner() as home, asyncio.Runner() as foreign:
        assert home.run(ask()) == 1
        for attempt in (ask, engine.dispose, ask):
            with pytest.raises(errors.UnitOfWorkError, match="another event loop"):
                foreign.run(attempt())
        assert home.run(ask()) == 1
        home.run(engine.dispose())
        assert foreign.run(ask()) == 1, "a pool that was closed is at home where it is used next"
        foreign.run(engine.dispose())


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
async def test_a_forked_child_is_refused_and_the_parent_continues(engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        before = await pid_of(connection)
    child = os.fork()
    if child == 0:
        code = 2
        try:
            signal.alarm(10)
            code = _child(engine)
        finally:
            os._exit(code)
    _, status = await asyncio.to_thread(os.waitpid, child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    async with engine.connect() as connection:
        assert await pid_of(connection) == before


def _child(engine: AsyncEngine) -> int:
    try:
        asyncio.run(_use(engine))
    except errors.UnitOfWorkError as error:
        return 0 if "before a fork" in str(error) else 1
    return 3


async def _use(engine: AsyncEngine) -> None:
    async with engine.connect():
        pass
