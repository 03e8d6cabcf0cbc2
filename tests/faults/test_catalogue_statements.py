"""Faults in a unit of work, each injected and recognised by its error."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest
from pgvector import Vector
from sqlalchemy import literal, select
from sqlalchemy.types import UserDefinedType

from domain import (
    Conflict,
    ConnectionLost,
    InvalidInput,
    Isolation,
    LockTimeout,
    PoolExhausted,
    ReadOnly,
    ResourceExhausted,
    Review,
    SchemaError,
    StalePlan,
    StatementTimeout,
    TransactionAborted,
    UnitOfWorkError,
)
from repositories import Database
from repositories.postgres import hosts
from tests.faults.catalogue import injects
from tests.faults.expected import (
    SLEEP,
    ask,
    failing,
    pid_of,
    require_sound,
    terminate,
    until_gone,
    until_waiting,
    written,
)

if TYPE_CHECKING:
    from pydantic import SecretStr

    from repositories.testing.servers import TestServer


@asynccontextmanager
async def administered(
    server: TestServer, database: Database
) -> AsyncIterator[asyncpg.Connection[Any]]:
    """Yield the superuser's connection to the same database."""
    name = database.settings.database
    connection = await asyncpg.connect(server.server.admin_url.get_secret_value(), database=name)
    try:
        yield connection
    finally:
        await connection.close()


# Connections that end


@injects("1")
async def test_a_connection_that_ends_before_its_first_use_is_lost(database: Database) -> None:
    async with database.reader() as view:
        pid = await pid_of(view)
    # The newest connection is lent first: this one has that process behind it, and has begun
    # nothing.
    with failing(ConnectionLost, again=True):
        async with database.reader() as view:
            await terminate(database, pid)
            await ask(view)
    await require_sound(database)


@injects("1b")
async def test_an_idle_connection_that_ended_is_replaced_in_silence(database: Database) -> None:
    async with database.reader() as view:
        pid = await pid_of(view)
        async with database.reader() as other:
            await view.__aexit__(None, None, None)
            await ask(other, "SELECT pg_terminate_backend(:pid, 5000)", pid=pid)
            await asyncio.sleep(
                0.05
            )  # its last words and its end may arrive with that answer, and take a turn each
            async with database.reader() as next_one:
                assert await pid_of(next_one) != pid
    await require_sound(database)


@injects("2")
async def test_a_connection_that_ends_between_statements_is_lost_and_nothing_was_kept(
    database: Database,
) -> None:
    with failing(ConnectionLost, again=True):
        async with written(database) as uow:
            await terminate(database, await pid_of(uow))
            await uow.reviews.count()
    await require_sound(database)


@injects("3")
async def test_a_commit_that_was_never_sent_is_known_to_be_lost(database: Database) -> None:
    with failing(ConnectionLost, again=True):
        async with written(database) as uow:
            await terminate(database, await pid_of(uow))
            await uow.commit()
    await require_sound(database)


@injects("4")
async def test_a_connection_that_ends_during_a_statement_is_lost_and_says_why(
    database: Database,
) -> None:
    with failing(ConnectionLost, again=True) as caught:
        async with written(database) as uow:
            pid = await pid_of(uow)
            sleeping = asyncio.ensure_future(ask(uow, SLEEP))
            await until_waiting(database, pid)
            await terminate(database, pid)
            await sleeping
    assert getattr(caught.value, "sqlstate", None) == "57P01"
    await require_sound(database)


@injects("9")
async def test_a_transaction_that_was_idle_for_too_long_is_lost(database: Database) -> None:
    with failing(ConnectionLost, again=True):
        async with written(database) as uow:
            await ask(uow, "SET LOCAL idle_in_transaction_session_timeout = 20")
            await until_gone(database, await pid_of(uow))
            await uow.reviews.count()
    await require_sound(database)


@injects("10")
async def test_a_transaction_that_takes_too_long_is_lost(
    database: Database, server: TestServer
) -> None:
    if server.server.version < 17:
        pytest.skip("transaction_timeout is new in PostgreSQL 17")
    with failing(ConnectionLost, again=True) as caught:
        async with written(database) as uow:
            await ask(uow, "SET LOCAL transaction_timeout = 50")
            await ask(uow, SLEEP)
    assert getattr(caught.value, "sqlstate", None) == "25P04"
    await require_sound(database)


# Time and locks


@injects("5")
async def test_a_statement_that_is_cancelled_or_takes_too_long_is_a_timeout(
    database: Database,
) -> None:
    with failing(StatementTimeout, again=False):
        async with written(database) as uow:
            await ask(uow, "SET LOCAL statement_timeout = 20")
            await ask(uow, SLEEP)
    with failing(StatementTimeout, again=False):
        async with written(database) as uow:
            pid = await pid_of(uow)
            sleeping = asyncio.ensure_future(ask(uow, SLEEP))
            await until_waiting(database, pid)
            async with database.reader() as other:
                await ask(other, "SELECT pg_cancel_backend(:pid)", pid=pid)
            await sleeping
    await require_sound(database)


@injects("6")
async def test_an_unavailable_lock_is_reported_at_once_or_in_time(database: Database) -> None:
    async with written(database) as holder:
        await ask(holder, "LOCK TABLE reviews")
        for statement in ("LOCK TABLE reviews NOWAIT", "LOCK TABLE reviews"):
            with failing(LockTimeout, again=True):
                async with database.unit_of_work() as uow:
                    await ask(uow, "SET LOCAL lock_timeout = 20")
                    await ask(uow, statement)
    await require_sound(database)


@injects("7")
async def test_a_deadlock_is_a_conflict_of_one_of_the_two(database: Database) -> None:
    both = asyncio.Barrier(2)

    async def cross(first: int, second: int) -> None:
        async with database.unit_of_work() as uow:
            await ask(uow, "SELECT pg_advisory_xact_lock(:key)", key=first)
            await both.wait()
            await ask(uow, "SELECT pg_advisory_xact_lock(:key)", key=second)

    with failing(Conflict, again=True) as caught:
        for outcome in await asyncio.gather(cross(1, 2), cross(2, 1), return_exceptions=True):
            if outcome is not None:
                raise outcome
    assert getattr(caught.value, "sqlstate", None) == "40P01"
    await require_sound(database)


@injects("8")
async def test_a_serialization_failure_is_a_conflict_in_a_statement_and_at_commit(
    database: Database,
) -> None:
    async with written(database) as uow:
        await uow.commit()
    with failing(Conflict, again=True) as in_a_statement:
        async with database.unit_of_work(isolation=Isolation.REPEATABLE_READ) as uow:
            await uow.reviews.count()
            async with database.unit_of_work() as other:
                await ask(other, "UPDATE reviews SET repo = 'acme/web'")
                await other.commit()
            await ask(uow, "UPDATE reviews SET repo = 'acme/app'")
    with failing(Conflict, again=True) as at_commit:
        async with (
            database.unit_of_work(isolation=Isolation.SERIALIZABLE) as one,
            database.unit_of_work(isolation=Isolation.SERIALIZABLE) as two,
        ):
            for number, uow in enumerate((one, two)):
                await uow.reviews.count()
                uow.reviews.add(Review(repo="acme/api", pr_number=10 + number))
                await uow.flush()
            await one.commit()
            await two.commit()
    assert {getattr(caught.value, "sqlstate", None) for caught in (in_a_statement, at_commit)} == {
        "40001"
    }
    await require_sound(database, reviews=2)


@injects("11")
async def test_a_pool_that_is_exhausted_says_what_it_has(database_url: SecretStr) -> None:
    async with Database.from_url(
        database_url, pool_size=1, max_overflow=0, pool_timeout=0.05
    ) as database:
        with failing(PoolExhausted, again=True) as caught:
            async with database.reader(), database.reader():
                pass
        assert isinstance(caught.value, PoolExhausted)
        assert caught.value.figures["checked_out"] == 1
        await require_sound(database)


@injects("12")
async def test_a_server_that_does_not_answer_a_statement_in_time_is_a_timeout(
    database_url: SecretStr, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The client gives up before the server does.
    monkeypatch.setattr(hosts, "GRACE_SECONDS", -9.8)
    async with Database.from_url(database_url, statement_timeout=timedelta(seconds=10)) as database:
        with failing(StatementTimeout, again=False):
            async with written(database) as uow:
                await ask(uow, SLEEP)
        await require_sound(database)


# What a server does not do


@injects("13")
async def test_a_write_in_a_reader_is_refused_as_read_only(database: Database) -> None:
    with failing(ReadOnly, again=True):
        async with database.reader() as view:
            await ask(view, "DELETE FROM reviews WHERE repo = :canary")
    await require_sound(database)


@injects("32")
async def test_a_limit_of_the_server_is_reported_as_such(
    database: Database, server: TestServer
) -> None:
    async with administered(server, database) as admin:
        await admin.execute(
            f"ALTER DATABASE {database.settings.database} SET temp_file_limit = '0'"
        )
    try:
        async with Database(database.settings) as limited:
            with failing(ResourceExhausted, again=False) as caught:
                async with limited.reader() as view:
                    await ask(view, "SET LOCAL work_mem = '64kB'")
                    await ask(
                        view,
                        "SELECT n FROM generate_series(1, 50000) AS n ORDER BY md5(n || :canary) "
                        "LIMIT 1 OFFSET 40000",
                    )
            assert getattr(caught.value, "sqlstate", None) == "53400"
            await require_sound(limited)
    finally:
        async with administered(server, database) as admin:
            await admin.execute(
                f"ALTER DATABASE {database.settings.database} RESET temp_file_limit"
            )


# A schema that changes under a program


@pytest.fixture
async def scratch(database: Database) -> AsyncIterator[Callable[[str], Awaitable[None]]]:
    """A table of its own, and a way for another process to change it."""

    async def change(statement: str) -> None:
        async with database.unit_of_work() as uow:
            await ask(uow, statement)
            await uow.commit()

    await change("CREATE TABLE scratch (a int, b int)")
    yield change
    await change("DROP TABLE scratch")


@injects("27")
async def test_a_table_that_changes_under_a_prepared_statement_makes_the_plan_stale_once(
    database: Database, scratch: Callable[[str], Awaitable[None]]
) -> None:
    async def read() -> None:
        async with database.reader() as view:
            await ask(view, "SELECT * FROM scratch")

    await read()
    async with database.reader() as view:
        # Held, so that the change is made on another connection than the one with the prepared
        # statement.
        await pid_of(view)
        connection = await asyncpg.connect(
            host=database.settings.addresses[0].host, **_login(database)
        )
        await connection.execute("ALTER TABLE scratch ALTER b TYPE text")
        await connection.close()
    with failing(StalePlan, again=True):
        await read()
    await read()
    await require_sound(database)


def _login(database: Database) -> dict[str, Any]:
    settings = database.settings
    password = settings.password.get_secret_value() if settings.password else None
    return {
        "port": settings.addresses[0].port,
        "database": settings.database,
        "user": settings.user,
        "password": password,
    }


@injects("28")
async def test_a_column_that_is_gone_is_a_schema_of_another_version(
    database: Database, scratch: Callable[[str], Awaitable[None]]
) -> None:
    await scratch("ALTER TABLE scratch RENAME b TO c")
    for missing in ("SELECT b FROM scratch", "SELECT 1 FROM nowhere"):
        with failing(SchemaError, again=False):
            async with database.reader() as view:
                await ask(view, missing)
    await require_sound(database)


class AnyVector(UserDefinedType[Any]):
    cache_ok = True
    render_bind_cast = True

    def get_col_spec(self, **_: object) -> str:
        return "vector"


@injects("29")
async def test_a_recreated_extension_makes_plans_stale_and_is_learned_again(
    server: TestServer,
) -> None:
    statement = select(literal(Vector([1.0, 2.0, 3.0]), AnyVector()))

    async def read() -> object:
        async with database.reader() as view:
            return (await view._transaction.execute(statement)).scalar_one()

    async with Database.from_url(await asyncio.to_thread(server.clone)) as database:
        assert await read() == Vector([1.0, 2.0, 3.0])
        async with administered(server, database) as admin:
            await admin.execute("DROP EXTENSION vector CASCADE; CREATE EXTENSION vector")
        with failing(StalePlan, again=True):
            await read()
        assert await read() == Vector([1.0, 2.0, 3.0])
        await require_sound(database)


# Misuse


@injects("33")
def test_another_event_loop_is_refused_and_the_first_continues(database_url: SecretStr) -> None:
    database = Database.from_url(database_url)

    async def count() -> int:
        async with database.reader() as view:
            return await view.reviews.count()

    with asyncio.Runner() as home, asyncio.Runner() as foreign:
        home.run(database.open())
        for _ in range(2):
            with failing(UnitOfWorkError, again=False):
                foreign.run(count())
        assert home.run(count()) == 0
        home.run(require_sound(database))
        home.run(database.close())


@injects("34")
async def test_two_tasks_in_one_unit_of_work_are_served_or_turned_away_and_never_mixed_up(
    database: Database,
) -> None:
    async with database.unit_of_work() as uow:
        outcomes = await asyncio.gather(
            *(ask(uow, f"SELECT {number}") for number in range(8)), return_exceptions=True
        )
    for number, outcome in enumerate(outcomes):
        if outcome != number:
            assert type(outcome) in (UnitOfWorkError, TransactionAborted)
    await require_sound(database)


@injects("35")
async def test_a_statement_after_one_that_failed_is_refused_and_so_is_the_commit(
    database: Database,
) -> None:
    async with written(database) as uow:
        with failing(InvalidInput, again=False):
            await ask(uow, "SELECT CAST(CAST(:canary AS text) AS int)")
        for use in (uow.reviews.count, uow.commit):
            with failing(TransactionAborted, again=False):
                await use()
    await require_sound(database)


@pytest.mark.parametrize(
    "value", [2**40, "text", "\ud800", object()], ids=["range", "type", "surrogate", "object"]
)
@injects("36")
async def test_a_value_that_the_driver_cannot_send_is_bad_input(
    database: Database, value: object
) -> None:
    kind = "text" if value == "\ud800" else "int"
    with failing(InvalidInput, again=False):
        async with database.reader() as view:
            await ask(view, f"SELECT CAST(:value AS {kind})", value=value)
    await require_sound(database)


@injects("37")
async def test_more_parameters_than_a_statement_may_have_are_bad_input(database: Database) -> None:
    with failing(InvalidInput, again=False):
        async with database.reader() as view:
            await view._transaction.execute(select(literal(1).in_(range(33_000))))
    await require_sound(database)
