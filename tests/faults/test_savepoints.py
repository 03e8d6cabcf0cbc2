"""A connection that ends in a savepoint raises `ConnectionLost`; the unit of work runs again."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, TypeAlias

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, PendingRollbackError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession

from domain import ConnectionLost, RecollectError, Review, where
from repositories import Database
from tests.faults.conftest import Promises, on_the_newest

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from uuid import UUID

    from repositories import UnitOfWork

pytestmark = on_the_newest

TERMINATE = """
SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND state LIKE 'idle in transaction%'
"""
End: TypeAlias = "Callable[[], Awaitable[None]]"


class ApplicationError(Exception):
    """An error of the application's own, raised inside a savepoint."""


async def statement(uow: UnitOfWork, end: End) -> None:
    async with uow.savepoint():
        await end()
        await uow.reviews.count()


async def written_before(uow: UnitOfWork, end: End) -> None:
    async with uow.savepoint():
        inside = uow.reviews.add(Review(repo="inside", pr_number=1))
        await uow.flush()
        await end()
        inside.conclusion = "changed"


async def begin(uow: UnitOfWork, end: End) -> None:
    await end()
    async with uow.savepoint():
        pass


async def release(uow: UnitOfWork, end: End) -> None:
    async with uow.savepoint():
        await uow.reviews.count()
        await end()


async def rollback(uow: UnitOfWork, end: End) -> None:
    async with uow.savepoint():
        await end()
        raise ApplicationError


async def nested(uow: UnitOfWork, end: End) -> None:
    async with uow.savepoint(), uow.savepoint():
        await end()
        await uow.reviews.count()


async def swallowed(uow: UnitOfWork, end: End) -> None:
    with suppress(RecollectError):
        await statement(uow, end)


async def swallowed_and_used(uow: UnitOfWork, end: End) -> None:
    async with uow.savepoint():
        await swallowed(uow, end)
        await uow.reviews.count()


CASES = (
    statement,
    written_before,
    begin,
    release,
    rollback,
    nested,
    swallowed,
    swallowed_and_used,
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
async def test_a_connection_lost_inside_a_savepoint_is_retried(
    database: Database, case: Callable[..., Awaitable[None]]
) -> None:
    attempts, ended, failures = 0, 0, list[BaseException]()

    async def end_the_connection() -> None:
        nonlocal ended
        if attempts == 1:
            async with database.engine.connect() as connection:
                ended += (await connection.execute(text(TERMINATE))).scalar_one()

    async def work(uow: UnitOfWork) -> UUID:
        nonlocal attempts
        attempts += 1
        # The entity stays referenced, so a rollback to the savepoint would read its row again.
        review = uow.reviews.add(Review(repo="acme/api", pr_number=attempts))
        await uow.flush()
        try:
            with suppress(ApplicationError):
                await case(uow, end_the_connection)
            await uow.commit()
        except BaseException as error:
            failures.append(error)
            raise
        return review.id

    committed = await database.run(work)
    assert (attempts, ended) == (2, 1)
    assert [type(failure) for failure in failures] == [ConnectionLost]
    async with database.reader() as view:
        rows = await view.reviews.list(where("repo").equals("acme/api"))
    assert [(row.id, row.pr_number) for row in rows] == [(committed, 2)]


async def test_after_a_lost_connection_every_statement_raises_connection_lost(
    database: Database, promises: Promises
) -> None:
    raised = []
    async with database.unit_of_work() as uow:
        uow.reviews.add(Review(repo="acme/api", pr_number=1))
        await uow.flush()
        async with database.engine.connect() as connection:
            await connection.execute(text(TERMINATE))
        with suppress(RecollectError):
            async with uow.savepoint():
                await uow.reviews.count()
        for use in (uow.reviews.count, uow.flush, uow.reviews.list, uow.commit):
            with pytest.raises(ConnectionLost) as failure:
                await use()
            raised.append(failure.value.safe_to_retry)
    async with database.reader() as view:
        assert await view.reviews.count() == 0
    assert raised == [True] * 4
    alone = await with_sqlalchemy_alone(database)
    assert alone is PendingRollbackError
    promises(
        "Every failure has a typed error",
        f"{len(raised)} of {len(raised)} calls after a connection that ended in a savepoint raise"
        " ConnectionLost, which is safe to retry",
        control=f"SQLAlchemy alone raises {alone.__name__}",
    )


async def with_sqlalchemy_alone(database: Database) -> type[Exception]:
    """Return the error of a statement after a connection that ended in a savepoint."""
    async with AsyncSession(database.engine) as session:
        await session.execute(text("SELECT 1"))
        with suppress(RecollectError, DBAPIError):
            async with session.begin_nested():
                async with database.engine.connect() as connection:
                    await connection.execute(text(TERMINATE))
                await session.execute(text("SELECT 1"))
        try:
            await session.execute(text("SELECT 1"))
        except (RecollectError, SQLAlchemyError) as error:
            return type(error)
    pytest.fail("a lost connection answered")


async def test_a_connection_that_ends_during_a_stream_is_lost_and_the_work_is_repeated(
    database: Database,
) -> None:
    failures = list[BaseException]()

    async def work(uow: UnitOfWork) -> int:
        rows = 0
        await uow.reviews.add_many(Review(repo="acme/api", pr_number=n) for n in range(1, 41))
        try:
            async for _ in uow.reviews.stream():
                rows += 1
                if not failures:
                    async with database.engine.connect() as connection:
                        await connection.execute(text(TERMINATE))
        except RecollectError as error:
            failures.append(error)
            raise
        return rows

    assert await database.run(work) == 40
    assert [type(failure) for failure in failures] == [ConnectionLost]
