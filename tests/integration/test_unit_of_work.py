"""The unit of work on PostgreSQL.

Cases that only PostgreSQL has: a server that refuses, and a driver that can be interrupted.
"""

from __future__ import annotations

import asyncio
import gc
import weakref
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text

from domain import ConnectionLost, KnowledgeChunk, ReadOnly, Review, Vector
from repositories import Database
from repositories.testing.factories import ReviewFactory
from repositories.testing.statements import statements_of
from repositories.testing.tables import emptied

if TYPE_CHECKING:
    from pydantic import SecretStr


async def saved(database: Database) -> Review:
    of = Review(repo="acme/api", pr_number=7)
    async with database.unit_of_work() as uow:
        uow.reviews.add(of)
        await uow.commit()
    return of


async def test_rows_from_the_database_are_not_validated_again(database: Database) -> None:
    of = await saved(database)
    async with database.engine.begin() as connection:
        await connection.execute(text("UPDATE reviews SET repo = ''"))
    async with database.unit_of_work() as uow:
        assert (await uow.reviews.get(of.id)).repo == ""


async def test_a_reader_cannot_write_even_by_force(database: Database) -> None:
    async with database.reader() as view:
        with pytest.raises(ReadOnly):
            await view._transaction.execute(text("INSERT INTO embedding_repairs VALUES ('a')"))


async def test_an_embedding_that_is_not_requested_does_not_leave_the_server(
    database: Database,
) -> None:
    chunk = KnowledgeChunk(
        chunk_id="a", source="a.md", source_type="doc", content="text", embedding=Vector([0.5] * 8)
    )
    async with database.unit_of_work() as uow:
        uow.knowledge.add(chunk)
        await uow.commit()
    for open_unit in (database.unit_of_work, database.reader):
        async with open_unit() as unit:
            with statements_of(database) as without_embedding:
                await unit.knowledge.get(chunk.id)
                await unit.knowledge.list()
                await unit.knowledge.find_by_chunk_id("a")
            assert not any(
                "embedding," in statement.replace("\n", "") for statement in without_embedding
            )
            with statements_of(database) as with_embedding:
                await unit.knowledge.get(chunk.id, with_embedding=True)
            assert any("embedding," in statement.replace("\n", "") for statement in with_embedding)


async def test_a_cancelled_unit_of_work_leaves_no_connection_behind(database: Database) -> None:
    async def sleepy() -> None:
        async with database.unit_of_work() as uow:
            await uow._transaction.execute(text("SELECT pg_sleep(30)"))

    task = asyncio.create_task(sleepy())
    await asyncio.sleep(0.2)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert database.pool_figures().checked_out == 0


async def test_a_commit_is_finished_although_its_task_is_cancelled(database: Database) -> None:
    of = Review(repo="acme/api", pr_number=7)

    async def commit() -> None:
        async with database.unit_of_work() as uow:
            uow.reviews.add(of)
            await uow.flush()
            asyncio.current_task().cancel()  # type: ignore[union-attr]  # there is one here
            await uow._transaction.commit(lambda: uow.operation_id)

    with pytest.raises(asyncio.CancelledError):
        await asyncio.create_task(commit())
    async with database.reader() as view:
        assert await view.reviews.find(of.id) is not None


async def test_a_stream_whose_consumer_pauses_too_long_names_the_setting(
    database_url: SecretStr,
) -> None:
    async with (
        Database.from_url(database_url, idle_in_transaction_timeout=0.2) as database,
        emptied(database),
    ):
        async with database.unit_of_work() as uow:
            await uow.reviews.add_many(ReviewFactory.build_batch(4))
            await uow.commit()
        async with database.reader() as view:
            with pytest.raises(ConnectionLost, match="setting idle_in_transaction_timeout"):
                async for _ in view.reviews.stream(batch_size=1):
                    await asyncio.sleep(0.4)


async def test_a_pause_counts_until_the_server_is_asked_again(database_url: SecretStr) -> None:
    async with (
        Database.from_url(database_url, idle_in_transaction_timeout=0.2) as database,
        emptied(database),
    ):
        async with database.unit_of_work() as uow:
            await uow.reviews.add_many(ReviewFactory.build_batch(200))
            await uow.commit()
        async with database.reader() as view:
            number = 0
            with pytest.raises(ConnectionLost, match="setting idle_in_transaction_timeout"):
                # The next rows after the pause come from those that were read ahead.
                async for _ in view.reviews.stream():
                    number += 1
                    if number == 10:
                        await asyncio.sleep(0.4)


async def test_a_unit_of_work_is_freed_without_the_garbage_collector(database: Database) -> None:
    async def commit(reviews: int) -> weakref.ref[object]:
        async with database.unit_of_work() as uow:
            for _ in range(reviews):
                uow.reviews.add(Review(repo="acme/api", pr_number=7))
            await uow.commit()
        return weakref.ref(uow)

    gc.collect()
    gc.disable()
    try:
        assert [(await commit(reviews))() for reviews in (1, 2)] == [None, None]
    finally:
        gc.enable()
