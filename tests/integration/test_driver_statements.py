"""Reads on the driver's own connection.

Their cost, their results, and the state of a connection that breaks.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest
from sqlalchemy import func, literal, select, text

from domain import (
    ConnectionLost,
    InvalidInput,
    Isolation,
    KnowledgeChunk,
    ReadOnly,
    Review,
    StalePlan,
    TransactionAborted,
    Vector,
    where,
)
from domain.schema.columns import EmbeddingColumn
from repositories import Database
from repositories.postgres.compiled_statements import CompiledStatement, compiled_statement
from repositories.sql import runs
from repositories.testing.statements import statements_of
from tests.integration.driver_queries import queries_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from pydantic import SecretStr

    from repositories import ReadUnitOfWork, UnitOfWork
    from repositories.testing.servers import TestServer

NEAR = Vector([0.5] * 8)


@pytest.fixture
async def chunks(database: Database) -> list[KnowledgeChunk]:
    clones = [
        KnowledgeChunk(
            chunk_id=f"{n}",
            source="a.md",
            source_type="doc",
            content="text",
            metadata_={"n": [n]},
            embedding=NEAR,
        )
        for n in range(3)
    ]
    async with database.unit_of_work() as uow:
        await uow.knowledge.upsert_many(clones)
        await uow.commit()
    return clones


def driver_of(view: ReadUnitOfWork | UnitOfWork) -> Any:
    connection: Any = view._transaction._connection
    return connection.connection.driver_connection


@asynccontextmanager
async def sent(database: Database) -> AsyncIterator[list[str]]:
    """Note every query that the driver of the next reader sends, BEGIN and the like among them."""
    async with database.reader() as view:
        driver = driver_of(view)
    async with queries_of(driver) as queries:
        yield queries


async def test_a_reader_opened_for_one_row_costs_one_round_trip(
    database: Database, chunks: list[KnowledgeChunk]
) -> None:
    async with sent(database) as statements, database.reader() as view:
        await view.knowledge.get(chunks[0].id)
    assert [query.split()[0] for query in statements] == ["SELECT"]


async def test_the_settings_of_a_search_cost_no_round_trip_and_do_not_outlive_it(
    database: Database, chunks: list[KnowledgeChunk]
) -> None:
    async with database.reader() as view:
        # Once a minute, a search also reads the list of the tenants' own indexes.
        await view.knowledge.vector_search(NEAR)
    async with sent(database) as statements, database.reader() as view:
        assert len(await view.knowledge.vector_search(NEAR, where=where("repo").equals(""))) == 3
        await asyncio.sleep(0)
        assert [query.split()[0] for query in statements] == ["WITH"]
        assert (
            await driver_of(view).fetchval("SELECT current_setting('hnsw.iterative_scan')") == "off"
        )


async def test_what_a_reader_gives_is_what_a_unit_of_work_gives(
    database: Database, chunks: list[KnowledgeChunk]
) -> None:
    async with database.reader() as view, database.unit_of_work() as uow:
        read, tracked = (
            await view.knowledge.get(chunks[1].id),
            await uow.knowledge.get(chunks[1].id),
        )
        assert read == tracked
        assert {name: type(value) for name, value in read} == {
            name: type(value) for name, value in tracked
        }
        assert (repr(read), read.model_dump()) == (repr(tracked), tracked.model_dump())
        items = [hit.item for hit in await view.knowledge.vector_search(NEAR)]
        assert read in items
        assert read in [hit.item for hit in await uow.knowledge.vector_search(NEAR)]
        assert read in [chunk async for chunk in view.knowledge.stream()]


async def test_a_copy_of_an_entity_of_a_reader_can_be_added(
    database: Database, chunks: list[KnowledgeChunk]
) -> None:
    async with database.reader() as view:
        read = await view.knowledge.get(chunks[0].id, with_embedding=True)
    async with database.unit_of_work() as uow:
        await uow.knowledge.delete(read.id)
        copy = uow.knowledge.add(read.model_copy())
        await uow.commit()
        copy.content = "changed afterwards"
    async with database.reader() as view:
        again = await view.knowledge.get(read.id, with_embedding=True)
        assert (again.content, again.embedding, again.metadata_) == ("text", NEAR, {"n": [0]})


async def test_only_the_unit_of_work_itself_reads_its_uncommitted_rows(database: Database) -> None:
    async with database.unit_of_work() as uow, database.reader() as view:
        uow.reviews.add(Review(repo="acme/api", pr_number=7))
        assert [
            await uow.reviews.count(),
            await uow.reviews.count(),
            await view.reviews.count(),
        ] == [1, 1, 0]


async def test_a_reader_of_one_moment_begins_before_it_reads(
    database: Database, chunks: list[KnowledgeChunk]
) -> None:
    async with database.reader(isolation=Isolation.REPEATABLE_READ) as view:
        assert await view.knowledge.count() == 3
        async with database.unit_of_work() as uow:
            await uow.knowledge.reset()
            await uow.commit()
        assert [await view.knowledge.count(), len(await view.knowledge.list())] == [3, 3]


async def test_between_the_rows_of_a_stream_other_rows_can_be_read(
    database: Database, chunks: list[KnowledgeChunk]
) -> None:
    async with database.reader() as view:
        async for chunk in view.knowledge.stream(batch_size=1):
            assert await view.knowledge.get(chunk.id) == chunk
        assert await view.knowledge.count() == 3


async def test_a_connection_that_is_lost_in_a_read_is_not_reused(
    database: Database,
) -> None:
    async with database.reader() as view:
        lost = driver_of(view)
        async with database.engine.connect() as other:
            await other.execute(
                text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": lost.get_server_pid()}
            )
        with pytest.raises(ConnectionLost):
            await view.reviews.count()
        with pytest.raises(ConnectionLost):
            await view.reviews.count()
    async with database.reader() as view:
        assert driver_of(view) is not lost
        assert await view.reviews.count() == 0


async def refused_write(unit: ReadUnitOfWork | UnitOfWork) -> Any:
    """Have the server refuse a write of this unit, and return its driver's connection."""
    driver = driver_of(unit)
    await unit._transaction.execute(text("SET TRANSACTION READ ONLY"))
    with pytest.raises(ReadOnly):
        await unit._transaction.rows(select(func.lo_create(0)))
    return driver


async def test_a_unit_of_work_on_a_read_only_server_renews_the_pool(database: Database) -> None:
    async with database.unit_of_work() as uow, database.unit_of_work() as idle:
        other = driver_of(idle)
        refused = await refused_write(uow)
    async with database.unit_of_work() as uow, database.unit_of_work() as idle:
        assert not {driver_of(uow), driver_of(idle)} & {refused, other}


async def test_a_reader_that_is_refused_a_write_keeps_its_connection(database: Database) -> None:
    async with database.reader() as view:
        refused = await refused_write(view)
    async with database.reader() as view:
        assert driver_of(view) is refused


async def test_a_read_that_is_cancelled_takes_its_connection_with_it(database: Database) -> None:
    async with database.reader() as view:
        cancelled = driver_of(view)
        reading = asyncio.ensure_future(
            view._transaction.rows(select(text("1"), text("pg_sleep(30)")))
        )
        await asyncio.sleep(0.05)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        assert cancelled.is_closed()
        with pytest.raises(TransactionAborted):
            await view.reviews.count()
    assert database.pool_figures(readers=True).checked_out == 0


async def test_new_connections_learn_the_types_of_a_recreated_extension(
    server: TestServer,
) -> None:
    async def read() -> Any:
        async with database.reader() as view:
            return await view._transaction.scalar(select(literal(NEAR, EmbeddingColumn())))

    async with Database.from_url(await asyncio.to_thread(server.clone)) as database:
        assert await read() == NEAR
        name = database.settings.database
        admin = await asyncpg.connect(server.server.admin_url.get_secret_value(), database=name)
        await admin.execute("DROP EXTENSION vector CASCADE; CREATE EXTENSION vector")
        await admin.close()
        with pytest.raises(StalePlan):
            await read()
        assert await read() == NEAR


async def test_a_value_that_does_not_fit_is_named_as_such(database: Database) -> None:
    async with database.reader() as view:
        with pytest.raises(InvalidInput):
            await view.reviews.find("no id")  # type: ignore[arg-type]  # which is the point


async def test_behind_a_pooler_a_reader_is_one_transaction_and_leaves_nothing_prepared(
    database_url: SecretStr, database: Database, chunks: list[KnowledgeChunk]
) -> None:
    async with (
        Database.from_url(database_url, pooler="pgbouncer") as pooled,
        pooled.reader() as view,
    ):
        driver = driver_of(view)
        assert (await view.knowledge.get(chunks[0].id)).chunk_id == "0"
        assert driver.is_in_transaction()
        assert await driver.fetchval("SELECT current_setting('transaction_read_only')") == "on"
        assert await driver.fetchval("SELECT count(*) FROM pg_prepared_statements") == 0
        with pytest.raises(ReadOnly):
            await view._transaction.execute(text("DELETE FROM knowledge"))


async def test_echo_shows_a_read(database_url: SecretStr, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="sqlalchemy"):
        async with Database.from_url(database_url, echo=True) as loud, loud.reader() as view:
            with statements_of(loud) as statements:
                await view.reviews.count()
    assert statements
    assert statements[0] in caplog.messages


async def test_sqlalchemys_logger_shows_a_read(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="sqlalchemy.engine"):
        async with database.reader() as view:
            await view.reviews.count()
    assert any(message.startswith("SELECT count(*)") for message in caplog.messages)


def test_a_statement_is_put_in_words_once_and_not_at_all_where_they_depend_on_its_values() -> None:
    first, second = (
        select(Review.__table__.c.id).where(Review.__table__.c.repo == repo) for repo in ("a", "b")
    )
    one, other = compiled_statement(first), compiled_statement(second)
    assert isinstance(one, CompiledStatement)
    assert isinstance(other, CompiledStatement)
    assert compiled_statement(first) is one
    assert (one.sql, one.arguments({}), other.arguments({})) == (other.sql, ["a"], ["b"])
    assert compiled_statement(runs.competing_runs(_run())) is None


def _run() -> Any:
    from tests.contract.suites import samples

    return samples.run()


async def test_a_unit_of_work_begins_its_transaction_with_the_first_statement_that_is_no_read(
    database: Database, chunks: list[KnowledgeChunk]
) -> None:
    reading = select(KnowledgeChunk.__table__.c.id)
    async with database.unit_of_work() as uow:
        read = await uow.knowledge.get(chunks[0].id)
        assert not driver_of(uow).is_in_transaction()
        read.title = "new"
        again = await uow.knowledge.get(chunks[0].id)
        assert (again is read, again.title) == (True, "new")
        assert driver_of(uow).is_in_transaction()
    for isolation in (Isolation.REPEATABLE_READ, Isolation.SERIALIZABLE):
        async with database.unit_of_work(isolation=isolation) as uow:
            await uow.knowledge.get(chunks[0].id)
            assert driver_of(uow).is_in_transaction()
    for statement, locks in ((reading, False), (reading.with_for_update(), True)):
        async with database.unit_of_work() as uow:
            await uow._transaction.rows(statement)
            assert driver_of(uow).is_in_transaction() is locks


async def test_a_read_in_a_unit_of_work_takes_one_statement_and_finds_its_tracked_entities(
    database: Database, chunks: list[KnowledgeChunk]
) -> None:
    async with database.unit_of_work() as uow:
        with statements_of(database) as statements:
            listed = await uow.knowledge.list()
            assert len(statements) == 1
        assert {chunk.id for chunk in listed} == {chunk.id for chunk in chunks}
        tracked = await uow.knowledge.get(chunks[0].id, with_embedding=True)
        assert [chunk for chunk in listed if chunk.id == chunks[0].id] == [tracked]
        assert tracked.embedding == NEAR
