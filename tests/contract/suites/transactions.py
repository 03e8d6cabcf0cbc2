"""Retries of whole units of work, isolation levels, and committed operations."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import pytest

from domain import (
    AlreadyCommitted,
    CommitOutcomeUnknown,
    Conflict,
    Isolation,
    LockTimeout,
    PoolExhausted,
    RecollectError,
    ReferenceViolated,
    StalePlan,
)
from tests.contract.suites.kinds import write
from tests.contract.suites.samples import finding, review

if TYPE_CHECKING:
    from domain import UnitOfWork
    from tests.contract.suites.store import Store


class RetryContract:
    """`run` commits what a function did, and does it again where that is safe."""

    async def test_it_commits_and_returns(self, store: Store) -> None:
        async def work(uow: UnitOfWork) -> str:
            uow.reviews.add(review())
            return uow.tenant

        assert await store.run(work, tenant="acme") == "acme"
        async with store.reader(tenant="acme") as view:
            assert await view.reviews.count() == 1

    async def test_it_does_again_what_may_be_done_again_from_nothing(self, store: Store) -> None:
        attempts = 0

        async def work(uow: UnitOfWork) -> int:
            nonlocal attempts
            attempts += 1
            uow.reviews.add(review())
            await uow.flush()
            if attempts < 3:
                raise Conflict("another caller was first")
            return await uow.reviews.count()

        assert await store.run(work) == 1
        assert attempts == 3

    async def test_it_does_not_do_again_what_is_wrong(self, store: Store) -> None:
        attempts = 0

        async def work(uow: UnitOfWork) -> None:
            nonlocal attempts
            attempts += 1
            uow.reviews.add(review())
            await uow.findings.add_many([finding(review())])

        with pytest.raises(ReferenceViolated):
            await store.run(work)
        assert attempts == 1
        async with store.reader() as view:
            assert await view.reviews.count() == 0

    async def test_work_may_commit_by_itself(self, store: Store) -> None:
        async def work(uow: UnitOfWork) -> None:
            uow.reviews.add(review())
            await uow.commit()

        await store.run(work)
        async with store.reader() as view:
            assert await view.reviews.count() == 1

    @pytest.mark.parametrize(
        ("failure", "attempts"),
        [(LockTimeout("a lock"), 3), (StalePlan("a plan"), 2), (CommitOutcomeUnknown(None), 1)],
        ids=lambda value: type(value).__name__,
    )
    async def test_what_does_not_go_away_is_not_tried_for_ever(
        self, store: Store, failure: RecollectError, attempts: int
    ) -> None:
        done = 0

        async def work(_: UnitOfWork) -> None:
            nonlocal done
            done += 1
            raise failure

        with pytest.raises(type(failure)):
            await store.run(work)
        assert done == attempts

    @pytest.mark.parametrize("given_id", [False, True], ids=["no id", "an id"])
    async def test_work_that_committed_by_itself_and_then_fails_is_not_repeated(
        self, store: Store, given_id: bool
    ) -> None:
        operation = uuid4() if given_id else None
        attempts = 0

        async def work(uow: UnitOfWork) -> None:
            nonlocal attempts
            attempts += 1
            uow.reviews.add(review())
            await uow.commit()
            raise PoolExhausted("no connection for a second unit of work", figures={})

        with pytest.raises(PoolExhausted) as failure:
            await store.run(work, operation_id=operation)
        assert attempts == 1
        assert not failure.value.safe_to_retry, "the caller must not repeat it either"
        assert PoolExhausted.safe_to_retry, "only this error is marked"
        async with store.reader() as view:
            assert await view.reviews.count() == 1
        assert operation is None or await store.outcome(operation)

    async def test_work_that_fails_before_its_own_commit_is_repeated(self, store: Store) -> None:
        attempts = 0

        async def work(uow: UnitOfWork) -> None:
            nonlocal attempts
            attempts += 1
            uow.reviews.add(review())
            if attempts == 1:
                raise Conflict("another transaction was first")
            await uow.commit()

        await store.run(work, operation_id=uuid4())
        assert attempts == 2
        async with store.reader() as view:
            assert await view.reviews.count() == 1

    async def test_only_one_run_of_an_operation_is_committed(self, store: Store) -> None:
        operation = uuid4()

        async def work(uow: UnitOfWork) -> None:
            uow.reviews.add(review())

        await store.run(work, operation_id=operation)
        with pytest.raises(AlreadyCommitted) as refusal:
            await store.run(work, operation_id=operation)
        assert refusal.value.operation_id == operation
        assert refusal.value.constraint == "pk_committed_operations"
        await store.run(work, operation_id=operation, tenant="other")
        async with store.reader() as view:
            assert await view.reviews.count() == 1

    async def test_runs_of_one_operation_at_once_return_one_result_that_was_committed(
        self, store: Store
    ) -> None:
        operation = uuid4()

        async def work(uow: UnitOfWork) -> UUID:
            return uow.reviews.add(review()).id

        results = await asyncio.gather(
            *(store.run(work, operation_id=operation) for _ in range(3)), return_exceptions=True
        )
        refusals = [result for result in results if isinstance(result, AlreadyCommitted)]
        assert len(refusals) == 2
        async with store.reader() as view:
            committed = [one.id for one in await view.reviews.list()]
        assert [result for result in results if not isinstance(result, BaseException)] == committed


class IsolationContract:
    """The higher levels read one snapshot, and an order that is not serializable is a conflict."""

    async def test_only_above_read_committed_two_readings_are_of_one_moment(
        self, store: Store
    ) -> None:
        for number, isolation in enumerate(Isolation):
            for open_unit in (store.unit_of_work, store.reader):
                async with open_unit(isolation=isolation) as unit:
                    before = await unit.reviews.count()
                    await write(
                        store, review(pr_number=2 * number + 1 + (open_unit == store.reader))
                    )
                    after = await unit.reviews.count()
                assert (after > before) is (isolation is Isolation.READ_COMMITTED)

    @pytest.mark.parametrize("isolation", [Isolation.READ_COMMITTED, Isolation.SERIALIZABLE])
    async def test_only_below_serializable_two_may_decide_by_what_the_other_changes(
        self, store: Store, isolation: Isolation
    ) -> None:
        both = asyncio.Barrier(2)

        async def add_one_where_there_is_none(number: int) -> None:
            async with store.unit_of_work(isolation=isolation) as uow:
                empty = await uow.reviews.count() == 0
                await both.wait()
                if empty:
                    uow.reviews.add(review(pr_number=number))
                await uow.commit()

        outcomes = await asyncio.gather(
            *map(add_one_where_there_is_none, (1, 2)), return_exceptions=True
        )
        conflicts = [type(outcome) for outcome in outcomes if outcome is not None]
        assert conflicts == ([] if isolation is Isolation.READ_COMMITTED else [Conflict])
        async with store.reader() as view:
            assert await view.reviews.count() == 2 - len(conflicts)

    async def test_run_brings_serializable_work_to_its_end_and_loses_nothing(
        self, store: Store
    ) -> None:
        await write(store, review(pr_number=1))

        async def add_the_next(uow: UnitOfWork) -> None:
            uow.reviews.add(review(pr_number=await uow.reviews.count() + 1))

        await asyncio.gather(
            *(store.run(add_the_next, isolation=Isolation.SERIALIZABLE) for _ in range(4))
        )
        async with store.reader() as view:
            assert sorted(one.pr_number for one in await view.reviews.list()) == [1, 2, 3, 4, 5]


class LedgerContract:
    """You can look up a unit of work by its operation id; the lookup waits until it has ended."""

    async def test_an_operation_is_known_once_it_was_committed_and_to_its_tenant_alone(
        self, store: Store
    ) -> None:
        operation = uuid4()
        assert not await store.outcome(operation)
        async with store.unit_of_work(operation_id=operation) as uow:
            uow.reviews.add(review())
            await uow.commit()
        assert uow.operation_id == operation
        assert await store.outcome(operation)
        assert not await store.outcome(operation, tenant="other")
        assert await store.outcome(operation), "asking leaves nothing behind"

    async def test_a_second_unit_of_work_with_the_id_is_refused_with_its_id(
        self, store: Store
    ) -> None:
        operation = uuid4()
        async with store.unit_of_work(operation_id=operation) as uow:
            await uow.commit()
        async with store.unit_of_work(operation_id=operation) as uow:
            uow.reviews.add(review())
            with pytest.raises(AlreadyCommitted) as refusal:
                await uow.commit()
        assert refusal.value.operation_id == operation
        async with store.reader() as view:
            assert await view.reviews.count() == 0

    async def test_an_operation_that_was_discarded_is_not_known(self, store: Store) -> None:
        async with store.unit_of_work(operation_id=(operation := uuid4())) as uow:
            await uow.flush()
        assert not await store.outcome(operation)

    @pytest.mark.parametrize("commits", [True, False])
    async def test_while_an_operation_is_under_way_there_is_no_answer(
        self, store: Store, commits: bool
    ) -> None:
        operation = uuid4()
        async with store.unit_of_work(operation_id=operation) as uow:
            await uow.flush()
            with pytest.raises(LockTimeout):
                await asyncio.create_task(
                    store.outcome(operation, wait_for=timedelta(milliseconds=20))
                )
            lookup = asyncio.create_task(store.outcome(operation))
            await asyncio.sleep(0.02)
            assert not lookup.done()
            if commits:
                await uow.commit()
        assert await lookup is commits
