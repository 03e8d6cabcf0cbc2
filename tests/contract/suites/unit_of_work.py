"""The unit of work: commits, discarded changes, and failures that always raise."""

from __future__ import annotations

import asyncio
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from domain import (
    AlreadyExists,
    EmbeddingRepair,
    InvalidInput,
    NotRegistered,
    ReferenceViolated,
    Review,
    ReviewReader,
    ReviewRepository,
    RunStatus,
    TenantMismatch,
    TransactionAborted,
    UnitOfWorkClosed,
    UnitOfWorkError,
    where,
)
from domain.values.text import DEFAULT_TENANT
from tests.contract.suites.kinds import write
from tests.contract.suites.samples import (
    author,
    bump,
    checkpoint,
    chunk,
    event,
    finding,
    memory,
    rate_limit,
    resilience,
    retrieval_quality,
    review,
    run,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from domain import UnitOfWork
    from tests.contract.suites.store import Store


class UnitOfWorkContract:
    """One transaction of one tenant in one task."""

    async def test_what_is_committed_lasts(self, store: Store) -> None:
        async with store.unit_of_work() as uow:
            of = uow.reviews.add(review())
            uow.findings.add(finding(of))
            await uow.commit()
        async with store.reader() as view:
            assert await view.reviews.get(of.id) == of
            assert await view.findings.count() == 1

    async def test_a_repository_is_provided_by_its_entity_and_by_its_port(
        self, store: Store
    ) -> None:
        async with store.unit_of_work() as uow:
            of = uow.repository(Review).add(review())
            assert await uow.provide(ReviewRepository).get(of.id) is of
            assert (await uow.provide(ReviewReader).stats("acme/api")).reviews == 1
            await uow.commit()
        async with store.reader() as view:
            assert await view.repository(Review).get(of.id) == of
            assert (await view.provide(ReviewReader).stats("acme/api")).reviews == 1
            with pytest.raises(NotRegistered, match="pass ReviewReader"):
                view.provide(ReviewRepository)
            with pytest.raises(NotRegistered, match="EmbeddingRepair is not registered"):
                view.repository(EmbeddingRepair)

    async def test_leaving_without_commit_discards_everything(self, store: Store) -> None:
        async with store.unit_of_work() as uow:
            of = uow.reviews.add(review())
            await uow.flush()
            assert await uow.reviews.exists()
        async with store.reader() as view:
            assert not await view.reviews.exists()
        assert of.repo == "acme/api", "the object stays usable"

    async def test_rolling_back_discards_everything_and_ends_it(self, store: Store) -> None:
        async with store.unit_of_work() as uow:
            uow.reviews.add(review())
            await uow.flush()
            await uow.rollback()
            with pytest.raises(UnitOfWorkClosed):
                await uow.commit()
        async with store.reader() as view:
            assert not await view.reviews.exists()

    async def test_an_exception_discards_everything_and_is_raised(self, store: Store) -> None:
        async def fails() -> None:
            async with store.unit_of_work() as uow:
                uow.reviews.add(review())
                await uow.flush()
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await fails()
        async with store.reader() as view:
            assert await view.reviews.count() == 0

    async def test_a_cancelled_unit_of_work_keeps_nothing(self, store: Store) -> None:
        begun = asyncio.Event()

        async def sleepy() -> None:
            async with store.unit_of_work() as uow:
                uow.reviews.add(review())
                await uow.flush()
                begun.set()
                await asyncio.sleep(60)

        task = asyncio.create_task(sleepy())
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        async with store.reader() as view:
            assert await view.reviews.count() == 0

    @pytest.mark.parametrize("inside", ["unit of work", "savepoint"])
    async def test_a_cancelled_statement_aborts_the_unit_of_work(
        self, store: Store, inside: str
    ) -> None:
        async def stream(uow: UnitOfWork) -> None:
            async for _ in uow.reviews.stream():
                pass

        async def insert(uow: UnitOfWork) -> None:
            uow.reviews.add(review(pr_number=9))
            await uow.flush()

        statements: list[Callable[[UnitOfWork], Awaitable[object]]] = [
            lambda uow: uow.reviews.count(),
            lambda uow: uow.knowledge.keyword_search("retries"),
            lambda uow: uow.reviews.delete(uuid4()),
            stream,
            insert,
        ]
        for statement in statements:
            async with store.unit_of_work() as uow:
                uow.reviews.add(review())
                await uow.flush()
                with pytest.raises(TimeoutError):
                    async with uow.savepoint() if inside == "savepoint" else nullcontext():
                        async with asyncio.timeout(0):
                            await statement(uow)
                for call in (uow.reviews.count, uow.commit):
                    with pytest.raises(TransactionAborted):
                        await call()
            assert uow.committed is False
        async with store.reader() as view:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0):
                    await view.reviews.count()
            with pytest.raises(TransactionAborted):
                await view.reviews.count()
        async with store.reader() as view:
            assert await view.reviews.count() == 0

    async def test_a_flush_without_changes_sends_nothing_that_can_be_cancelled(
        self, store: Store
    ) -> None:
        async with store.unit_of_work() as uow:
            uow.reviews.add(review())
            await uow.flush()
            async with asyncio.timeout(0):
                await uow.flush()
            await uow.commit()
        async with store.reader() as view:
            assert await view.reviews.count() == 1

    async def test_a_unit_of_work_knows_whether_it_was_committed(self, store: Store) -> None:
        for end, committed in (("commit", True), ("rollback", False), ("flush", False)):
            async with store.unit_of_work() as uow:
                assert uow.committed is False
                await getattr(uow, end)()
            assert uow.committed is committed, end
        async with store.unit_of_work() as uow:
            uow.findings.add(finding(review()))
            with pytest.raises(ReferenceViolated):
                await uow.commit()
        assert uow.committed is False

    async def test_a_commit_whose_task_is_cancelled_has_happened_or_not_and_knows_which(
        self, store: Store
    ) -> None:
        uow = store.unit_of_work()

        async def commit() -> None:
            async with uow:
                uow.reviews.add(review())
                asyncio.get_running_loop().call_soon(task.cancel)
                await uow.commit()

        task = asyncio.create_task(commit())
        with pytest.raises(asyncio.CancelledError):
            await task
        async with store.reader() as view:
            assert await view.reviews.exists() is uow.committed

    async def test_others_see_nothing_before_the_commit(self, store: Store) -> None:
        async with store.unit_of_work() as uow:
            of = uow.reviews.add(review())
            await uow.flush()
            async with store.reader() as view:
                assert await view.reviews.find(of.id) is None
            await uow.commit()
        async with store.reader() as view:
            assert await view.reviews.find(of.id) is not None

    async def test_a_discarded_entity_can_be_added_again(self, store: Store) -> None:
        of = review()
        async with store.unit_of_work() as uow:
            uow.reviews.add(of)
            await uow.flush()
        await write(store, of)
        async with store.reader() as view:
            assert await view.reviews.get(of.id) == of

    async def test_parents_are_written_before_their_children_whatever_the_order_of_adding(
        self, store: Store
    ) -> None:
        of = review()
        async with store.unit_of_work() as uow:
            uow.findings.add(finding(of))
            uow.reviews.add(of)
            await uow.commit()
        async with store.reader() as view:
            assert await view.findings.count() == 1

    async def test_adding_the_same_object_twice_is_adding_it_once(self, store: Store) -> None:
        of = review()
        async with store.unit_of_work() as uow:
            assert uow.reviews.add(of) is uow.reviews.add(of)
            await uow.flush()
            uow.reviews.add(of)
            await uow.commit()
        async with store.reader() as view:
            assert await view.reviews.count() == 1

    async def test_what_the_server_fills_in_is_known_once_it_is_written(self, store: Store) -> None:
        async with store.unit_of_work() as uow:
            of, passage, pending = (
                uow.reviews.add(review()),
                uow.knowledge.add(chunk()),
                uow.runs.add(run()),
            )
            await uow.flush()
            assert of.created_at is not None
            assert of.created_at == passage.updated_at == pending.claimed_at, (
                "one moment for all of a unit of work"
            )
            assert (of.tenant, pending.status, passage.title) == (
                DEFAULT_TENANT,
                RunStatus.PENDING,
                None,
            )
            await uow.commit()
        assert (of.created_at is not None, of.repo) == (True, "acme/api"), (
            "objects stay usable after the commit"
        )

    async def test_flush_and_commit_raise_for_a_broken_rule(self, store: Store) -> None:
        async with store.unit_of_work() as uow:
            uow.findings.add(finding(review()))
            with pytest.raises(ReferenceViolated) as refusal:
                await uow.flush()
        assert refusal.value.table == "findings"
        async with store.unit_of_work() as uow:
            uow.reviews.add(review())
            uow.findings.add(finding(review()))
            with pytest.raises(ReferenceViolated):
                await uow.commit()
        async with store.reader() as view:
            assert await view.reviews.count() == 0

    @pytest.mark.parametrize("end", ["commit", "rollback"])
    async def test_an_ended_unit_of_work_cannot_be_used(self, store: Store, end: str) -> None:
        async with store.unit_of_work() as uow:
            await getattr(uow, end)()
            for use in (
                uow.reviews.count,
                uow.commit,
                uow.flush,
                uow.rollback,
                uow.reviews.list,
                uow.embedding_metadata.find,
            ):
                with pytest.raises(UnitOfWorkClosed):
                    await use()
            with pytest.raises(UnitOfWorkClosed):
                uow.reviews.add(review())
            with pytest.raises(UnitOfWorkClosed):
                async with uow.savepoint():
                    pass
        with pytest.raises(UnitOfWorkClosed):
            await uow.__aenter__()

    async def test_a_commit_inside_a_savepoint_names_the_statement_that_failed_first(
        self, store: Store
    ) -> None:
        twice = review()
        async with store.unit_of_work() as uow:
            with pytest.raises(TransactionAborted):
                async with uow.savepoint():
                    with pytest.raises(AlreadyExists):
                        await uow.reviews.add_many([twice, twice.model_copy()])
                    await uow.commit()
            await uow.commit()
        async with store.reader() as view:
            assert await view.reviews.count() == 0

    async def test_a_unit_of_work_that_was_not_entered_cannot_be_used(self, store: Store) -> None:
        with pytest.raises(UnitOfWorkClosed):
            await store.unit_of_work().reviews.count()
        with pytest.raises(UnitOfWorkClosed):
            await store.reader().reviews.count()
        with pytest.raises(UnitOfWorkClosed):
            store.unit_of_work().reviews.add(review())

    async def test_each_has_a_tenant_and_an_id_of_its_own(self, store: Store) -> None:
        first, second = store.unit_of_work(tenant="acme"), store.unit_of_work()
        assert (first.tenant, second.tenant, store.reader(tenant="a.b_c-9").tenant) == (
            "acme",
            DEFAULT_TENANT,
            "a.b_c-9",
        )
        assert first.operation_id != second.operation_id

    @pytest.mark.parametrize("tenant", ["", "a b", "é", "a'", "a" * 101, "a\n"])
    async def test_what_cannot_name_a_tenant_is_refused(self, store: Store, tenant: str) -> None:
        for open_unit in (store.unit_of_work, store.reader):
            with pytest.raises(InvalidInput) as refusal:
                open_unit(tenant=tenant)
            assert refusal.value.field == "tenant"

    async def test_an_entity_of_another_tenant_is_refused_and_others_are_stamped(
        self, store: Store
    ) -> None:
        async with store.unit_of_work(tenant="acme") as uow:
            with pytest.raises(TenantMismatch):
                uow.reviews.add(review(tenant="other"))
            assert uow.reviews.add(review()).tenant == "acme"
            await uow.commit()
        async with store.reader() as view:
            assert await view.reviews.count() == 0

    async def test_what_is_another_tenants_is_refused_by_every_way_of_writing(
        self, store: Store
    ) -> None:
        async with store.unit_of_work() as uow:
            theirs: dict[str, Any] = {"tenant": "theirs"}
            for way in (
                uow.memories.write(memory(**theirs)),
                uow.checkpoints.save(checkpoint(**theirs)),
                uow.authors.upsert(author(**theirs)),
                uow.dependency_bumps.record(bump(**theirs)),
                uow.telemetry.record(event(**theirs)),
                uow.telemetry.record_rate_limit(rate_limit(**theirs)),
                uow.telemetry.record_retrieval_quality(retrieval_quality(**theirs)),
                uow.telemetry.record_resilience(resilience(**theirs)),
                uow.memories.save_repair_state(
                    EmbeddingRepair(corpus="any", key="job", target_model="m", **theirs)
                ),
            ):
                with pytest.raises(TenantMismatch):
                    await way
            await uow.commit()

    async def test_a_reader_has_nothing_to_write_with(self, store: Store) -> None:
        async with store.reader() as view:
            assert not any(
                hasattr(view, name) for name in ("commit", "flush", "rollback", "savepoint")
            )
            assert not any(hasattr(view.reviews, name) for name in ("add", "add_many", "delete"))
            assert not hasattr(view.embedding_metadata, "set")
            assert not hasattr(view.runs, "claim")

    @pytest.mark.parametrize("opened", ["reader", "unit_of_work"])
    async def test_two_tasks_at_once_are_refused(self, store: Store, opened: str) -> None:
        await write(store, review())
        async with getattr(store, opened)() as unit:
            results = await asyncio.gather(
                unit.reviews.count(),
                unit.findings.count(),
                unit.reviews.list(limit=1),
                return_exceptions=True,
            )
            assert results[0] == 1, "the first call is not disturbed"
            for refusal in results[1:]:
                assert type(refusal) is UnitOfWorkError
                assert "two tasks at once" in str(refusal)
            assert await unit.reviews.count() == 1, "it can be used on"
            assert await asyncio.create_task(unit.reviews.count()) == 1, "one task after another"

    async def test_work_beside_a_refused_task_is_committed_or_discarded_as_a_whole(
        self, store: Store
    ) -> None:
        async with store.unit_of_work() as uow:
            uow.reviews.add(review())
            with pytest.raises(UnitOfWorkError):
                await asyncio.gather(uow.flush(), uow.commit())
        async with store.reader() as view:
            assert await view.reviews.exists() is bool(uow.committed)

    @pytest.mark.parametrize("opened", ["reader", "unit_of_work"])
    async def test_use_in_another_event_loop_is_refused(self, store: Store, opened: str) -> None:
        await write(store, review())
        for _ in range(3):
            async with getattr(store, opened)() as unit:
                assert await unit.reviews.count() == 1
                with pytest.raises(UnitOfWorkError, match="belongs to another event loop"):
                    await asyncio.to_thread(asyncio.run, unit.reviews.count())
                assert await unit.reviews.count() == 1, "it can be used on in its own loop"

    async def test_without_a_tenant_it_is_one_of_the_databases_own(self, store: Store) -> None:
        async with store.unit_of_work(tenant=None) as uow:
            added = uow.reviews.add(review())
            await uow.commit()
        await store.run(lambda uow: uow.reviews.get(added.id), tenant=None)
        async with store.reader(tenant=None) as view, store.reader() as same:
            assert view.tenant == same.tenant
            assert await same.reviews.exists(where("id").equals(added.id))

    @pytest.mark.parametrize("opened", ["reader", "unit_of_work"])
    async def test_it_belongs_to_the_event_loop_that_entered_it(
        self, store: Store, opened: str
    ) -> None:
        async with getattr(store, opened)() as unit:
            with pytest.raises(UnitOfWorkError, match="belongs to another event loop"):
                await asyncio.to_thread(asyncio.run, unit.reviews.count())
            assert await unit.reviews.count() == 0

    @pytest.mark.parametrize("opened", ["reader", "unit_of_work"])
    async def test_leaving_in_another_event_loop_is_refused_and_ends_it(
        self, store: Store, opened: str
    ) -> None:
        for _ in range(3):
            unit = getattr(store, opened)()
            await unit.__aenter__()
            await unit.reviews.count()
            with pytest.raises(UnitOfWorkError, match="belongs to another event loop"):
                await asyncio.to_thread(asyncio.run, unit.__aexit__(None, None, None))
            assert not unit.is_open
