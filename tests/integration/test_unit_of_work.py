"""The unit of work on PostgreSQL: what lasts, what is discarded, and what cannot be done in silence."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import event, text

from domain import (
    AlreadyExists,
    Category,
    Conflict,
    ConstraintViolated,
    Cursor,
    Finding,
    InvalidCursor,
    KnowledgeChunk,
    NotFound,
    ReadOnly,
    ReferenceViolated,
    Review,
    Severity,
    TenantMismatch,
    TransactionPoisoned,
    UnitOfWorkClosed,
    Vector,
    where,
)
from repositories import Database, UnitOfWork


def review(**values: Any) -> Review:
    return Review(**{"repo": "acme/api", "pr_number": 7, **values})


def finding(of: Review, **values: Any) -> Finding:
    given = {"review_id": of.id, "repo": of.repo, "file_path": "api.py", "title": "Retries never end", "confidence": 90}
    return Finding(**{**given, "severity": Severity.MAJOR, "category": Category.CORRECTNESS, **values})


async def saved(database: Database, *reviews: Review) -> None:
    async with database.unit_of_work() as uow:
        for one in reviews:
            uow.reviews.add(one)
        await uow.commit()


@contextmanager
def statements_of(database: Database) -> Iterator[list[str]]:
    seen: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        seen.append(statement)

    engine = database.engine.sync_engine
    event.listen(engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        event.remove(engine, "before_cursor_execute", note)


async def test_what_is_committed_lasts(database: Database) -> None:
    async with database.unit_of_work() as uow:
        of = uow.reviews.add(review())
        uow.findings.add(finding(of))
        await uow.commit()
    async with database.reader() as view:
        assert await view.reviews.get(of.id) == of
        assert await view.findings.count() == 1


async def test_leaving_without_commit_discards_everything(database: Database) -> None:
    async with database.unit_of_work() as uow:
        of = uow.reviews.add(review())
        await uow.flush()
        assert await uow.reviews.exists()
    async with database.reader() as view:
        assert not await view.reviews.exists()
    assert of.repo == "acme/api", "the object stays usable"


async def test_a_discarded_entity_can_be_added_again(database: Database) -> None:
    of = review()
    async with database.unit_of_work() as uow:
        uow.reviews.add(of)
        await uow.flush()
    await saved(database, of)
    async with database.reader() as view:
        assert await view.reviews.get(of.id) == of


async def test_an_exception_discards_everything_and_is_raised(database: Database) -> None:
    with pytest.raises(ZeroDivisionError):
        async with database.unit_of_work() as uow:
            uow.reviews.add(review())
            await uow.flush()
            raise ZeroDivisionError
    async with database.reader() as view:
        assert await view.reviews.count() == 0


async def test_parents_are_written_before_their_children_whatever_the_order_of_adding(uow: UnitOfWork) -> None:
    of = review()
    uow.findings.add(finding(of))
    uow.reviews.add(of)
    await uow.commit()


async def test_objects_stay_usable_after_commit(database: Database) -> None:
    of = review()
    await saved(database, of)
    assert of.created_at is not None
    assert of.tenant == "default"


async def test_a_change_to_what_was_read_is_written(database: Database) -> None:
    of = review()
    await saved(database, of)
    async with database.unit_of_work() as uow:
        (await uow.reviews.get(of.id)).conclusion = "approved"
        await uow.commit()
    async with database.reader() as view:
        assert (await view.reviews.get(of.id)).conclusion == "approved"


async def test_a_row_read_twice_is_one_object(database: Database) -> None:
    of = review()
    await saved(database, of)
    async with database.unit_of_work() as uow:
        assert await uow.reviews.get(of.id) is await uow.reviews.find(of.id)


async def test_rows_from_the_database_are_not_validated_again(database: Database) -> None:
    of = review()
    await saved(database, of)
    async with database.engine.begin() as connection:
        await connection.execute(text("UPDATE reviews SET repo = ''"))
    async with database.unit_of_work() as uow:
        assert (await uow.reviews.get(of.id)).repo == ""


async def test_swallowing_a_failed_statement_and_committing_raises_and_keeps_nothing(database: Database) -> None:
    async with database.unit_of_work() as uow:
        uow.reviews.add(review())
        await uow.flush()
        with suppress(ReferenceViolated):
            await uow.findings.add_many([finding(review())])
        with pytest.raises(TransactionPoisoned):
            await uow.reviews.count()
        with pytest.raises(TransactionPoisoned):
            await uow.commit()
    async with database.reader() as view:
        assert await view.reviews.count() == 0


async def test_a_failure_inside_a_savepoint_undoes_that_part_alone(database: Database) -> None:
    async with database.unit_of_work() as uow:
        kept = uow.reviews.add(review())
        with pytest.raises(ReferenceViolated):
            async with uow.savepoint():
                kept.conclusion = "undone"
                uow.findings.add(finding(review()))
        assert kept.conclusion == "unknown"
        uow.findings.add(finding(kept))
        await uow.commit()
    async with database.reader() as view:
        assert await view.findings.count() == 1


async def test_a_failure_swallowed_inside_a_savepoint_is_raised_at_its_end(database: Database) -> None:
    async with database.unit_of_work() as uow:
        uow.reviews.add(review())
        with pytest.raises(TransactionPoisoned):
            async with uow.savepoint():
                with suppress(ConstraintViolated):
                    await uow.findings.add_many([finding(review())])
        await uow.commit()
    async with database.reader() as view:
        assert await view.reviews.count() == 1


async def test_savepoints_nest(database: Database) -> None:
    async with database.unit_of_work() as uow:
        async with uow.savepoint():
            outer = uow.reviews.add(review())
            with pytest.raises(ZeroDivisionError):
                async with uow.savepoint():
                    uow.reviews.add(review())
                    await uow.flush()
                    raise ZeroDivisionError
        await uow.commit()
    async with database.reader() as view:
        assert [found.id for found in await view.reviews.list()] == [outer.id]


@pytest.mark.parametrize("end", ["commit", "rollback"])
async def test_an_ended_unit_of_work_cannot_be_used(database: Database, end: str) -> None:
    async with database.unit_of_work() as uow:
        await getattr(uow, end)()
        for use in (uow.reviews.count, uow.commit, uow.flush, uow.rollback):
            with pytest.raises(UnitOfWorkClosed):
                await use()
        with pytest.raises(UnitOfWorkClosed):
            uow.reviews.add(review())
    with pytest.raises(UnitOfWorkClosed):
        await uow.__aenter__()


async def test_a_unit_of_work_that_was_not_entered_cannot_be_used(database: Database) -> None:
    with pytest.raises(UnitOfWorkClosed):
        await database.unit_of_work().reviews.count()


async def test_a_reader_cannot_write_even_by_force(database: Database) -> None:
    async with database.reader() as view:
        assert not hasattr(view, "commit")
        assert not hasattr(view.reviews, "add")
        with pytest.raises(ReadOnly):
            await view.reviews._transaction.execute(text("INSERT INTO embedding_repairs VALUES ('a')"))


async def test_an_entity_of_another_tenant_is_refused(uow: UnitOfWork) -> None:
    with pytest.raises(TenantMismatch):
        uow.reviews.add(review(tenant="other"))
    with pytest.raises(TenantMismatch):
        await uow.reviews.add_many([review(tenant="other")])


async def test_tenants_do_not_see_each_other(database: Database) -> None:
    of = review()
    async with database.unit_of_work(tenant="acme") as uow:
        uow.reviews.add(of)
        await uow.commit()
    assert of.tenant == "acme"
    async with database.unit_of_work(tenant="other") as uow:
        assert await uow.reviews.find(of.id) is None
        assert await uow.reviews.count() == 0
        assert await uow.reviews.get_many([of.id]) == {}
        assert not await uow.reviews.delete(of.id)
        await uow.commit()
    async with database.reader(tenant="acme") as view:
        assert await view.reviews.count() == 1


async def test_get_raises_where_find_returns_none(uow: UnitOfWork) -> None:
    missing = uuid4()
    assert await uow.reviews.find(missing) is None
    with pytest.raises(NotFound) as refusal:
        await uow.reviews.get(missing)
    assert (refusal.value.entity, refusal.value.key) == ("Review", missing)


async def test_get_many_keeps_the_order_and_makes_no_query_for_nothing(database: Database) -> None:
    made = [review() for _ in range(3)]
    await saved(database, *made)
    async with database.reader() as view:
        wanted = [made[2].id, uuid4(), made[0].id, made[2].id]
        assert list(await view.reviews.get_many(wanted)) == [made[2].id, made[0].id]
        with statements_of(database) as seen:
            assert await view.reviews.get_many([]) == {}
        assert seen == []


@pytest.mark.parametrize("descending", [False, True])
async def test_pages_neither_repeat_nor_leave_out_while_others_write(database: Database, descending: bool) -> None:
    made = [review(pr_number=number) for number in range(1, 24)]
    await saved(database, *made)
    seen: list[Any] = []
    after: Cursor | None = None
    while True:
        async with database.reader() as view:
            page = await view.reviews.page(after=after, limit=5, descending=descending)
        seen += [item.id for item in page.items]
        await saved(database, review(repo="noise"))
        if page.next is None or len(seen) > 200:
            break
        after = Cursor.parse(str(page.next))
    ours = [identifier for identifier in seen if identifier in {one.id for one in made}]
    assert ours == sorted((one.id for one in made), reverse=descending)
    assert len(seen) == len(set(seen))


async def test_a_cursor_of_another_listing_is_refused(uow: UnitOfWork) -> None:
    with pytest.raises(InvalidCursor):
        await uow.reviews.page(after=Cursor(listing="Finding", descending=False, id=uuid4()))


async def test_a_stream_yields_everything_in_order_and_does_not_forget_what_is_tracked(database: Database) -> None:
    made = [review(pr_number=number) for number in range(1, 51)]
    await saved(database, *made)
    async with database.unit_of_work() as uow:
        tracked = await uow.reviews.get(made[3].id)
        assert [one.id async for one in uow.reviews.stream(batch_size=7)] == [one.id for one in made]
        tracked.conclusion = "changed"
        await uow.commit()
    async with database.reader() as view:
        assert (await view.reviews.get(made[3].id)).conclusion == "changed"


async def test_filters_choose_rows(database: Database) -> None:
    await saved(database, *(review(pr_number=number, model="m" if number % 2 else None) for number in range(1, 11)))
    async with database.reader() as view:
        assert await view.reviews.count(where("pr_number").greater_than(5)) == 5
        assert await view.reviews.count(where("pr_number").one_of([1, 2, 99])) == 2
        assert await view.reviews.count(~where("model").equals("m")) == 5
        assert await view.reviews.exists(where("model").exists() & where("pr_number").equals(3))
        assert not await view.reviews.exists(where("model").exists() & where("pr_number").equals(4))


async def test_deleting_a_review_deletes_what_belongs_to_it(database: Database) -> None:
    async with database.unit_of_work() as uow:
        of = uow.reviews.add(review())
        uow.findings.add(finding(of))
        await uow.flush()
        assert await uow.reviews.delete(of.id)
        assert not await uow.reviews.delete(of.id)
        assert await uow.findings.count() == 0
        await uow.commit()


async def test_a_changed_row_that_someone_deleted_is_a_conflict(database: Database) -> None:
    of = review()
    await saved(database, of)
    async with database.unit_of_work() as uow:
        mine = await uow.reviews.get(of.id)
        async with database.unit_of_work() as other:
            await other.reviews.delete(of.id)
            await other.commit()
        mine.conclusion = "late"
        with pytest.raises(Conflict):
            await uow.commit()


async def test_adding_the_same_row_twice_is_told_with_the_constraint(database: Database) -> None:
    of = review()
    await saved(database, of)
    async with database.unit_of_work() as uow:
        uow.reviews.add(of.model_copy())
        with pytest.raises(AlreadyExists) as refusal:
            await uow.commit()
    assert (refusal.value.constraint, refusal.value.table) == ("pk_reviews", "reviews")


async def test_add_many_takes_any_iterable_in_one_statement(database: Database) -> None:
    async def made() -> AsyncIterator[Review]:
        for number in range(1, 31):
            yield review(pr_number=number)

    async with database.unit_of_work() as uow:
        with statements_of(database) as seen:
            assert await uow.reviews.add_many(made()) == 30
            assert await uow.reviews.add_many(review() for _ in range(30)) == 30
            assert await uow.reviews.add_many([]) == 0
        assert len(seen) == 2
        assert await uow.reviews.count() == 60


async def test_embeddings_are_fetched_when_asked_for(database: Database) -> None:
    vector = Vector([0.5] * 8)
    chunk = KnowledgeChunk(chunk_id="a", source="a.md", source_type="doc", content="text", embedding=vector)
    async with database.unit_of_work() as uow:
        uow.knowledge.add(chunk)
        await uow.commit()
    async with database.unit_of_work() as uow:
        with statements_of(database) as seen:
            assert "embedding" not in vars(await uow.knowledge.get(chunk.id))
        assert "knowledge.embedding," not in seen[0]
        assert (await uow.knowledge.get(chunk.id, with_embedding=True)).embedding == vector
    async with database.reader() as view:
        assert (await view.knowledge.get(chunk.id, with_embedding=True)).embedding == vector


async def test_run_commits_and_returns_and_retries_what_may_be_retried(database: Database) -> None:
    attempts = 0

    async def work(uow: UnitOfWork) -> int:
        nonlocal attempts
        attempts += 1
        uow.reviews.add(review())
        if attempts == 1:
            raise Conflict("somebody else was first")
        return await uow.reviews.count()

    assert await database.run(work) == 1
    assert attempts == 2


async def test_run_does_not_retry_what_is_wrong(database: Database) -> None:
    attempts = 0

    async def work(uow: UnitOfWork) -> None:
        nonlocal attempts
        attempts += 1
        await uow.findings.add_many([finding(review())])

    with pytest.raises(ReferenceViolated):
        await database.run(work)
    assert attempts == 1


async def test_a_cancelled_unit_of_work_leaves_no_connection_behind(database: Database) -> None:
    async def sleepy() -> None:
        async with database.unit_of_work() as uow:
            uow.reviews.add(review())
            await uow._transaction.execute(text("SELECT pg_sleep(30)"))

    task = asyncio.create_task(sleepy())
    await asyncio.sleep(0.2)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert database.pool_figures().checked_out == 0
    async with database.reader() as view:
        assert await view.reviews.count() == 0


async def test_a_commit_is_finished_although_its_task_is_cancelled(database: Database) -> None:
    of = review()

    async def commit() -> None:
        async with database.unit_of_work() as uow:
            uow.reviews.add(of)
            await uow.flush()
            asyncio.current_task().cancel()  # type: ignore[union-attr]  # there is one here
            await uow._transaction.commit(uow.operation_id)

    with pytest.raises(asyncio.CancelledError):
        await asyncio.create_task(commit())
    async with database.reader() as view:
        assert await view.reviews.find(of.id) is not None
