"""The contract of a unit of work after a failed statement."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from domain import (
    AlreadyExists,
    Conflict,
    InvalidInput,
    LockTimeout,
    ReferenceViolated,
    TenantMismatch,
    TransactionAborted,
    UnitOfWorkClosed,
    UnitOfWorkError,
)
from tests.contract.suites.kinds import put, write
from tests.contract.suites.samples import checkpoint, chunk, finding, review, vectors_of

if TYPE_CHECKING:
    from domain import Review, ReviewCheckpoint, UnitOfWork
    from domain.schema.base import Entity
    from tests.contract.suites.store import Store


class FailureContract:
    """A failure outside a savepoint is the end of the unit of work; inside, it is undone alone."""

    async def test_swallowing_a_failed_statement_and_committing_raises_and_keeps_nothing(
        self, store: Store
    ) -> None:
        async with store.unit_of_work() as uow:
            uow.reviews.add(review())
            await uow.flush()
            with suppress(ReferenceViolated):
                await uow.findings.add_many([finding(review())])
            for use in (uow.reviews.count, uow.flush, uow.commit, uow.commit):
                with pytest.raises(TransactionAborted):
                    await use()
            with pytest.raises(TransactionAborted):
                async with uow.savepoint():
                    pass
        async with store.reader() as view:
            assert await view.reviews.count() == 0

    async def test_a_poisoned_unit_of_work_can_be_rolled_back(self, store: Store) -> None:
        async with store.unit_of_work() as uow:
            uow.findings.add(finding(review()))
            with pytest.raises(ReferenceViolated):
                await uow.flush()
            await uow.rollback()
            with pytest.raises(UnitOfWorkClosed):
                await uow.reviews.count()

    async def test_stored_entities_keep_their_values_when_a_write_fails(self, store: Store) -> None:
        stored = review()
        async with store.unit_of_work() as uow:
            uow.reviews.add(stored)
            await uow.commit()
        with pytest.raises(AlreadyExists):
            async with store.unit_of_work() as uow:
                uow.reviews.add(stored)
                stored.conclusion = "changed"
                assert await uow.reviews.get(stored.id) is stored
                uow.checkpoints.add(checkpoint("twice"))
                uow.checkpoints.add(checkpoint("twice"))
                await uow.commit()
        assert (stored.repo, stored.conclusion) == (review().repo, "changed")
        async with store.unit_of_work() as uow:
            uow.reviews.add(stored)
            await uow.commit()
        async with store.reader() as view:
            assert (await view.reviews.get(stored.id)).conclusion == "changed"

    async def test_run_repeats_work_whose_task_group_fails_with_errors_that_are_safe_to_retry(
        self, store: Store
    ) -> None:
        attempts = []

        async def conflict() -> None:
            raise Conflict("another transaction changed the same rows", sqlstate="40001")

        async def work(uow: UnitOfWork) -> int:
            attempts.append(uow.reviews.add(review()))
            await uow.flush()
            async with asyncio.TaskGroup() as outer:
                if len(attempts) < 3:
                    outer.create_task(conflict())
                    async with asyncio.TaskGroup() as inner:
                        inner.create_task(conflict())
            return len(attempts)

        assert await store.run(work) == 3
        async with store.reader() as view:
            assert await view.reviews.count() == 1

    @pytest.mark.parametrize(
        ("errors", "expected"),
        [
            ([Conflict("conflict", sqlstate="40001"), ValueError("the caller's")], 1),
            ([AlreadyExists(constraint="uq", table="reviews")], 1),
            ([LockTimeout("timed out", sqlstate="55P03")] * 5, 3),
        ],
    )
    async def test_run_raises_the_group_if_one_of_its_errors_is_not_retried(
        self, store: Store, errors: list[Exception], expected: int
    ) -> None:
        attempts = []

        async def work(uow: UnitOfWork) -> None:
            attempts.append(uow)
            raise ExceptionGroup("tasks", errors)

        with pytest.raises(ExceptionGroup) as failure:
            await store.run(work)
        assert list(failure.value.exceptions) == errors
        assert len(attempts) == expected

    async def test_run_does_not_repeat_what_a_task_group_committed(self, store: Store) -> None:
        attempts = []

        async def work(uow: UnitOfWork) -> None:
            attempts.append(uow.reviews.add(review()))
            await uow.commit()
            raise ExceptionGroup("tasks", [Conflict("conflict", sqlstate="40001")])

        with pytest.raises(ExceptionGroup) as failure:
            await store.run(work)
        [error] = failure.value.exceptions
        assert isinstance(error, Conflict)
        assert (len(attempts), error.safe_to_retry) == (1, False)

    async def test_a_stored_entity_is_added_again_when_run_repeats_its_work(
        self, store: Store
    ) -> None:
        stored, attempts = review(), []
        async with store.unit_of_work() as uow:
            uow.reviews.add(stored)
            await uow.commit()

        async def change(uow: UnitOfWork) -> None:
            attempts.append(stored.id)
            if len(attempts) == 1:
                assert await uow.reviews.delete(stored.id)
            uow.reviews.add(stored)
            stored.conclusion = "changed"

        await store.run(change)
        assert len(attempts) == 2
        async with store.reader() as view:
            assert (await view.reviews.get(stored.id)).conclusion == "changed"

    async def test_input_that_is_refused_before_a_statement_poisons_nothing(
        self, store: Store
    ) -> None:
        async with store.unit_of_work() as uow:
            uow.reviews.add(review())
            with pytest.raises(InvalidInput):
                await uow.reviews.list(limit=0)
            with pytest.raises(TenantMismatch):
                uow.reviews.add(review(tenant="other"))
            await uow.commit()
        async with store.reader() as view:
            assert await view.reviews.count() == 1

    async def test_a_failure_inside_a_savepoint_undoes_that_part_alone(self, store: Store) -> None:
        async with store.unit_of_work() as uow:
            parent = uow.reviews.add(review())
            with pytest.raises(ReferenceViolated):
                await _in_a_savepoint(
                    uow, review(repo="undone/undone"), finding(review()), changing=parent
                )
            assert parent.conclusion == "unknown"
            uow.findings.add(finding(parent))
            await uow.commit()
        async with store.reader() as view:
            assert [one.id for one in await view.reviews.list()] == [parent.id]
            assert await view.findings.count() == 1

    async def test_a_statement_that_fails_inside_a_savepoint_does_not_poison(
        self, store: Store
    ) -> None:
        async with store.unit_of_work() as uow:
            of = uow.reviews.add(review())
            with suppress(AlreadyExists):
                async with uow.savepoint():
                    await uow.reviews.add_many([of.model_copy()])
            assert await uow.reviews.count() == 1
            await uow.commit()
        async with store.reader() as view:
            assert await view.reviews.count() == 1

    async def test_swallowing_a_failure_inside_a_savepoint_undoes_it_all_the_same(
        self, store: Store
    ) -> None:
        async with store.unit_of_work() as uow:
            with pytest.raises(TransactionAborted):
                await _swallow_in_a_savepoint(uow)
            assert await uow.reviews.count() == 0
            await uow.commit()

    async def test_savepoints_nest_and_only_the_inner_one_is_undone(self, store: Store) -> None:
        async with store.unit_of_work() as uow:
            async with uow.savepoint():
                outer = uow.reviews.add(review())
                with suppress(ZeroDivisionError):
                    async with uow.savepoint():
                        uow.reviews.add(review())
                        await uow.flush()
                        raise ZeroDivisionError
            await uow.commit()
        async with store.reader() as view:
            assert [one.id for one in await view.reviews.list()] == [outer.id]

    async def test_a_savepoint_that_ends_well_is_kept_or_discarded_with_the_unit_of_work(
        self, store: Store
    ) -> None:
        for commits in (False, True):
            async with store.unit_of_work() as uow:
                async with uow.savepoint():
                    uow.reviews.add(review())
                if commits:
                    await uow.commit()
            async with store.reader() as view:
                assert await view.reviews.count() == int(commits)

    async def test_a_unit_of_work_is_not_committed_inside_a_savepoint(self, store: Store) -> None:
        async with store.unit_of_work() as uow:
            async with uow.savepoint():
                uow.reviews.add(review())
                with pytest.raises(UnitOfWorkError):
                    await uow.commit()
            await uow.commit()
        async with store.reader() as view:
            assert await view.reviews.count() == 1

    async def test_savepoints_end_in_the_reverse_order_and_are_entered_once(
        self, store: Store
    ) -> None:
        async with store.unit_of_work() as uow:
            outer, inner = uow.savepoint(), uow.savepoint()
            async with outer:
                async with inner:
                    uow.reviews.add(review())
                    with pytest.raises(UnitOfWorkError, match="leave that one first"):
                        await outer.__aexit__(None, None, None)
                for left in (inner, outer):
                    with pytest.raises(UnitOfWorkError, match="open another one"):
                        await left.__aenter__()
            await uow.commit()
        async with store.reader() as view:
            assert await view.reviews.count() == 1

    async def test_what_was_read_before_a_savepoint_is_as_it_was_when_that_is_undone(
        self, store: Store
    ) -> None:
        of = review()
        await write(store, of)
        async with store.unit_of_work() as uow:
            read = await uow.reviews.get(of.id)
            with suppress(ZeroDivisionError):
                async with uow.savepoint():
                    read.conclusion = "undone"
                    await uow.flush()
                    raise ZeroDivisionError
            assert read.conclusion == "unknown"
            assert await uow.reviews.get(of.id) is read
            await uow.commit()
        async with store.reader() as view:
            assert (await view.reviews.get(of.id)).conclusion == "unknown"

    async def test_what_a_statement_changed_is_read_again_when_its_savepoint_is_undone(
        self, store: Store
    ) -> None:
        vector = await vectors_of(store)
        await write(store, checkpoint("kept"), chunk("embedded", embedding=vector(1.0)))
        async with store.unit_of_work() as uow:
            [read], [embedded] = (
                await uow.checkpoints.list(),
                await uow.knowledge.list(with_embedding=True),
            )
            with suppress(ZeroDivisionError):
                async with uow.savepoint():
                    assert await uow.checkpoints.set_comment("kept", 5)
                    assert [one.partial_comment_id for one in await uow.checkpoints.list()] == [5]
                    raise ZeroDivisionError
            assert read.partial_comment_id is None
            assert embedded.embedding == vector(1.0)

    async def test_a_row_that_was_undone_can_be_added_again(self, store: Store) -> None:
        checkpoints: list[ReviewCheckpoint] = []
        async with store.unit_of_work() as uow:
            with suppress(ZeroDivisionError):
                async with uow.savepoint():
                    await uow.checkpoints.save(checkpoint("undone"))
                    checkpoints += await uow.checkpoints.list()
                    raise ZeroDivisionError
            [read] = checkpoints
            read.partial_comment_id = 7
            await uow.flush()
            assert await uow.checkpoints.count() == 0
            uow.checkpoints.add(read)
            await uow.commit()
        async with store.reader() as view:
            assert [
                (one.review_output_key, one.partial_comment_id)
                for one in await view.checkpoints.list()
            ] == [("undone", 7)]


async def _in_a_savepoint(uow: UnitOfWork, *entities: Entity, changing: Review) -> None:
    async with uow.savepoint():
        changing.conclusion = "undone"
        await put(uow, *entities)


async def _swallow_in_a_savepoint(uow: UnitOfWork) -> None:
    async with uow.savepoint():
        uow.reviews.add(review())
        with suppress(ReferenceViolated):
            await uow.findings.add_many([finding(review())])
