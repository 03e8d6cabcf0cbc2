"""Statements of an application run as the statements of repositories do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
from sqlalchemy import delete, func, insert, literal, select, text, update
from sqlalchemy.exc import NoResultFound
from sqlmodel import col
from sqlmodel import select as sqlmodel_select

from domain import (
    AlreadyExists,
    ConnectionLost,
    Finding,
    InvalidInput,
    ReadOnly,
    Review,
    StatementTimeout,
    TransactionAborted,
    UnexpectedFailure,
    UnitOfWorkClosed,
    UnitOfWorkError,
)
from repositories import Database, FakeDatabase, UnitOfWork, tenant_equals
from repositories.testing.statements import require_tenant_conditions
from tests.contract.suites.samples import finding, review

if TYPE_CHECKING:
    from pydantic import SecretStr

    from repositories.testing.servers import TestServer

Way = Callable[[UnitOfWork, Any], Awaitable[Any]]


async def by_execute(uow: UnitOfWork, statement: Any) -> Any:
    return (await uow.execute(statement)).all()


async def by_scalars(uow: UnitOfWork, statement: Any) -> Any:
    return (await uow.scalars(statement)).all()


async def by_stream(uow: UnitOfWork, statement: Any) -> Any:
    return [row async for row in uow.stream(statement)]


async def by_a_repository(uow: UnitOfWork, statement: Any) -> Any:
    """Send the statement as the operations of repositories send theirs."""
    return await uow._transaction.rows(statement)


ways = pytest.mark.parametrize("way", [by_execute, by_scalars, by_stream, by_a_repository])

WRONG = select(literal(1) / func.length(""))
LONG = select(func.pg_sleep(60))


@ways
async def test_a_statement_that_fails_aborts_the_unit_of_work(database: Database, way: Way) -> None:
    async with database.unit_of_work() as uow:
        uow.reviews.add(review())
        with pytest.raises(InvalidInput) as refusal:
            await way(uow, WRONG)
        assert refusal.value.__cause__ is None
        with pytest.raises(TransactionAborted):
            await way(uow, select(1))
        with pytest.raises(TransactionAborted):
            await uow.commit()
    async with database.reader() as view:
        assert not await view.reviews.exists()


@ways
async def test_a_statement_that_fails_in_a_savepoint_is_undone_alone(
    database: Database, way: Way
) -> None:
    async with database.unit_of_work() as uow:
        uow.reviews.add(review())
        with pytest.raises(InvalidInput):
            async with uow.savepoint():
                await way(uow, WRONG)
        assert await uow.reviews.count() == 1
        await uow.commit()


@ways
async def test_a_cancelled_statement_aborts_the_unit_of_work(database: Database, way: Way) -> None:
    async with database.unit_of_work() as uow:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await way(uow, LONG)
        with pytest.raises(TransactionAborted):
            await uow.commit()


@ways
async def test_a_statement_ends_at_the_statement_timeout(database_url: SecretStr, way: Way) -> None:
    async with (
        Database.from_url(database_url, statement_timeout=0.2) as database,
        database.unit_of_work() as uow,
    ):
        with pytest.raises(StatementTimeout):
            await way(uow, LONG)
        with pytest.raises(TransactionAborted):
            await uow.commit()


@ways
async def test_a_statement_after_the_connection_was_lost_says_so(
    database: Database, way: Way
) -> None:
    async with database.unit_of_work() as uow:
        own = (await uow.execute(select(func.pg_backend_pid()))).scalar_one()
        async with database.engine.connect() as other:
            await other.execute(select(func.pg_terminate_backend(own)))
        with pytest.raises(ConnectionLost):
            await way(uow, select(1))
        with pytest.raises(ConnectionLost):
            await uow.commit()


async def test_work_with_a_statement_is_run_again_after_a_lost_connection(
    database: Database,
) -> None:
    attempts = 0

    async def work(uow: UnitOfWork) -> int:
        nonlocal attempts
        attempts += 1
        own = (await uow.execute(select(func.pg_backend_pid()))).scalar_one()
        if attempts == 1:
            async with database.engine.connect() as other:
                await other.execute(select(func.pg_terminate_backend(own)))
        return len((await uow.execute(select(1))).all())

    assert await database.run(work) == 1
    assert attempts == 2


async def test_a_statement_sees_what_was_added_and_returns_tracked_entities(
    database: Database,
) -> None:
    async with database.unit_of_work() as uow:
        of = uow.reviews.add(review(conclusion="before"))
        mine = select(Review).where(tenant_equals(Review, uow.tenant))
        assert (await uow.scalars(mine)).one() is of
        assert (await uow.scalars(sqlmodel_select(Review.conclusion))).one() == "before"
        of.conclusion = "changed"
        assert (await uow.execute(select(col(Review.conclusion)))).scalar_one() == "changed"
        assert [
            row async for row in uow.stream(select(col(Review.id), col(Review.conclusion)))
        ] == [(of.id, "changed")]
        with pytest.raises(NoResultFound):
            (await uow.scalars(mine.where(col(Review.repo) == "none"))).one()
        await uow.commit()


async def test_tracked_entities_have_the_values_that_a_statement_wrote(
    database: Database,
) -> None:
    async with database.unit_of_work() as uow:
        one, other = uow.reviews.add(review()), uow.reviews.add(review())
        child = uow.findings.add(finding(other))
        changed = await uow.execute(
            update(Review).where(col(Review.id) == one.id).values(conclusion="own")
        )
        assert changed.rowcount == 1
        assert one.conclusion == "own"
        await uow.execute(delete(Review).where(col(Review.id) == other.id))
        assert await uow.findings.count() == 0
        other.conclusion = child.title = "no longer tracked"
        await uow.flush()
        await uow.execute(text("UPDATE reviews SET conclusion = 'text'"))
        assert one.conclusion == "text"
        later = update(Review).values(conclusion="part").returning(col(Review.id)).cte("part")
        await uow.execute(select(func.count()).select_from(later))
        assert one.conclusion == "part"
        await uow.commit()
    async with database.reader() as view:
        assert (await view.reviews.get(one.id)).conclusion == "part"


async def test_a_statement_that_breaks_a_rule_raises_the_error_of_a_repository(
    database: Database,
) -> None:
    async with database.unit_of_work() as uow:
        of = uow.reviews.add(review())
        await uow.flush()
        with pytest.raises(AlreadyExists) as refusal:
            await uow.execute(
                insert(Review).values(tenant=uow.tenant, id=of.id, repo="acme/api", pr_number=1)
            )
        assert refusal.value.constraint == "pk_reviews"


CONTROLS = [
    "COMMIT",
    "  -- done\n commit",
    "/* so */ ROLLBACK",
    "BEGIN",
    "SAVEPOINT a",
    "RELEASE a",
    "SET LOCAL statement_timeout = 0",
    "RESET ALL",
    "START TRANSACTION",
    "END",
    "PREPARE TRANSACTION 'a'",
]


@pytest.mark.parametrize("sql", CONTROLS)
async def test_a_statement_that_controls_the_transaction_is_refused(
    database: Database, sql: str
) -> None:
    async with database.unit_of_work() as uow:
        uow.reviews.add(review())
        with pytest.raises(InvalidInput, match="belongs to the unit of work"):
            await uow.execute(text(sql))
        with pytest.raises(InvalidInput, match="belongs to the unit of work"):
            [row async for row in uow.stream(text(sql))]
        await uow.commit()
    async with database.reader() as view:
        assert await view.reviews.count() == 1


async def test_only_one_statement_of_sqlalchemy_is_executed_at_a_time(database: Database) -> None:
    async with database.unit_of_work() as uow:
        with pytest.raises(InvalidInput, match=r"sqlalchemy\.text"):
            await uow.execute("SELECT 1")  # type: ignore[call-overload]  # that it is refused
        with pytest.raises(UnexpectedFailure):
            await uow.execute(text("SELECT 1; COMMIT"))
    with pytest.raises(UnitOfWorkClosed):
        await uow.execute(select(1))


async def test_a_statement_in_a_reader_reads_and_writes_nothing(database: Database) -> None:
    async with database.unit_of_work() as uow:
        of = uow.reviews.add(review(conclusion="kept"))
        uow.findings.add(finding(of))
        await uow.commit()
    async with database.reader() as view:
        read = (await view.scalars(select(Review))).one()
        assert read == of
        read.conclusion = "not written"
        assert (await view.scalars(select(col(Finding.title)))).one()
        assert [row async for row in view.stream(select(col(Review.conclusion)))] == [("kept",)]
        with pytest.raises(ReadOnly):
            await view.execute(update(Review).values(conclusion="lost"))


@pytest.fixture(scope="module")
def isolated_url(server: TestServer) -> SecretStr:
    return server.clone()


@pytest_asyncio.fixture
async def isolated(isolated_url: SecretStr) -> AsyncIterator[Database]:
    """A database with row-level security and a review of each of two tenants."""
    async with Database.from_url(isolated_url, migrate=True, row_level_security=True) as database:
        for tenant in ("ours", "theirs"):
            async with database.unit_of_work(tenant=tenant) as uow:
                uow.reviews.add(review(conclusion=tenant))
                await uow.commit()
        yield database


async def test_row_level_security_shows_a_statement_the_rows_of_its_tenant(
    isolated: Database,
) -> None:
    everything = select(col(Review.conclusion))
    async with isolated.reader(tenant="ours") as view:
        assert set(await view.scalars(everything)) == {"ours"}
        assert [row async for row in view.stream(everything)] == [("ours",)]
    async with isolated.unit_of_work(tenant="ours") as uow:
        assert set(await uow.scalars(text("SELECT conclusion FROM reviews"))) == {"ours"}
        changed = await uow.execute(update(Review).values(conclusion="changed"))
        assert changed.rowcount == 1
        await uow.rollback()


async def test_a_statement_without_a_condition_on_the_tenant_is_reported(
    database: Database,
) -> None:
    async with require_tenant_conditions(database), database.reader() as view:
        await view.execute(select(Review).where(tenant_equals(Review, view.tenant)))
    with pytest.raises(AssertionError, match="of reviews in: SELECT"):
        async with require_tenant_conditions(database), database.reader() as view:
            await view.execute(select(Review).where(col(Review.repo) == "acme/api"))


async def test_the_fake_names_what_to_do_instead() -> None:
    database = FakeDatabase()
    async with database.unit_of_work() as uow, database.reader() as view:
        for unit in (uow, view):
            with pytest.raises(UnitOfWorkError, match="recollect_uow"):
                await unit.execute(select(1))
            with pytest.raises(UnitOfWorkError, match="recollect_uow"):
                await unit.scalars(select(1))
            with pytest.raises(UnitOfWorkError, match="recollect_uow"):
                [row async for row in unit.stream(select(1))]
