"""The ledger: a unit of work that was given an operation id can be asked for afterwards, in PostgreSQL and in memory."""

from __future__ import annotations

from uuid import uuid4

import pytest

from domain import Review, UnitOfWorkError
from repositories import Database, FakeDatabase


@pytest.fixture(params=["postgres", "fake"])
def either(request: pytest.FixtureRequest, database: Database) -> Database | FakeDatabase:
    return database if request.param == "postgres" else FakeDatabase(dimensions=8)


async def test_an_operation_is_known_once_it_was_committed_and_to_its_tenant_alone(either: Database | FakeDatabase) -> None:
    operation_id = uuid4()
    async with either.unit_of_work(operation_id=operation_id) as uow:
        uow.reviews.add(Review(repo="acme/api", pr_number=7))
        await uow.flush()
        assert not await either.outcome(operation_id)
        await uow.commit()
    assert uow.operation_id == operation_id
    assert await either.outcome(operation_id)
    assert not await either.outcome(operation_id, tenant="other")


async def test_an_operation_that_was_discarded_is_not_known(either: Database | FakeDatabase) -> None:
    operation_id = uuid4()
    async with either.unit_of_work(operation_id=operation_id) as uow:
        uow.reviews.add(Review(repo="acme/api", pr_number=7))
        await uow.flush()
    assert not await either.outcome(operation_id)


async def test_a_unit_of_work_is_not_committed_inside_a_savepoint(either: Database | FakeDatabase) -> None:
    async with either.unit_of_work() as uow:
        async with uow.savepoint():
            with pytest.raises(UnitOfWorkError):
                await uow.commit()
        await uow.commit()
