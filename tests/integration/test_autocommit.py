"""Units of work that write with one statement: PostgreSQL commits it by itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any
from uuid import UUID

import pytest
from pydantic import SecretStr
from sqlalchemy import Connection, event, text
from sqlalchemy.orm import Mapper, Session
from sqlalchemy.orm.attributes import set_attribute

from domain import (
    AlreadyExists,
    CheckViolated,
    CommitOutcomeUnknown,
    Conflict,
    Finding,
    InvalidInput,
    Isolation,
    ReadOnly,
    RecollectError,
    ReferenceViolated,
    Review,
    UnitOfWork,
    where,
)
from repositories import Database
from repositories.testing.factories import (
    FindingFactory,
    KnowledgeChunkFactory,
    LearningMemoryFactory,
    ReviewFactory,
    RunStateFactory,
    TelemetryEventFactory,
)
from tests.integration.driver_queries import queries_of
from tests.integration.sessions import blocked

IN_A_TRANSACTION = ["BEGIN", "COMMIT;"]


@asynccontextmanager
async def transaction_control(uow: Any) -> AsyncIterator[list[str]]:
    """Note the BEGIN, COMMIT and ROLLBACK that the driver of the unit of work sends."""
    words: list[str] = []
    async with queries_of(uow._transaction._connection.connection.driver_connection) as queries:
        yield words
    first_words = (query.split()[0] for query in queries)
    words += [word for word in first_words if word.startswith(("BEGIN", "COMMIT", "ROLLBACK"))]


async def execute(database: Database, *statements: str) -> None:
    async with database.engine.begin() as connection:
        for statement in statements:
            await connection.execute(text(statement))


async def has(database: Database, id: UUID) -> bool:
    async with database.reader() as view:
        return await view.reviews.find(id) is not None


async def test_the_insert_of_one_new_entity_is_all_that_is_sent(database: Database) -> None:
    async with database.unit_of_work() as uow, transaction_control(uow) as words:
        review = uow.reviews.add(ReviewFactory.build())
        await uow.commit()
    assert words == []
    assert uow.committed is True
    assert review.created_at is not None
    assert await has(database, review.id)


async def test_reads_before_it_change_nothing(database: Database) -> None:
    async with database.unit_of_work() as uow, transaction_control(uow) as words:
        await uow.reviews.count()
        uow.reviews.add(ReviewFactory.build())
        await uow.commit()
    assert words == []


async def test_one_statement_inserts_entities_of_several_classes(database: Database) -> None:
    async with database.unit_of_work() as uow, transaction_control(uow) as words:
        review = uow.reviews.add(ReviewFactory.build())
        finding = uow.findings.add(FindingFactory.build(review_id=review.id, repo=review.repo))
        await uow.commit()
    assert words == []
    async with database.reader() as view:
        assert await view.reviews.get(review.id) == review
        assert await view.findings.get(finding.id) == finding
    assert finding.created_at == review.created_at


async def test_entities_of_many_classes_are_written_as_they_are(database: Database) -> None:
    review = ReviewFactory.build()
    async with database.unit_of_work() as uow, transaction_control(uow) as words:
        uow.reviews.add(review)
        memory = uow.memories.add(LearningMemoryFactory.build(embedding=None))
        event = uow.telemetry.add(TelemetryEventFactory.build())
        chunk = uow.knowledge.add(KnowledgeChunkFactory.build(embedding=None))
        await uow.commit()
    assert words == []
    async with database.reader() as view:
        assert await view.memories.get(memory.id, with_embedding=True) == memory
        assert await view.telemetry.get(event.id) == event
        assert await view.knowledge.get(chunk.id, with_embedding=True) == chunk
    for path in ("memories", "telemetry", "knowledge"):
        async with database.unit_of_work() as uow, transaction_control(uow) as words:
            [entity] = await getattr(uow, path).list()
            entity.repo = "acme/renamed"
            await uow.commit()
        assert words == []
        async with database.reader() as view:
            assert await getattr(view, path).count(where("repo").equals("acme/renamed")) == 1


async def test_the_order_in_which_they_were_added_does_not_matter(database: Database) -> None:
    review = ReviewFactory.build()
    async with database.unit_of_work() as uow, transaction_control(uow) as words:
        uow.findings.add(FindingFactory.build(review_id=review.id))
        uow.reviews.add(review)
        await uow.commit()
    assert words == []
    assert await has(database, review.id)


async def test_other_writes_need_a_transaction(database: Database) -> None:
    async with database.unit_of_work() as uow, transaction_control(uow) as words:
        review = uow.reviews.add(ReviewFactory.build())
        uow.reviews.add(ReviewFactory.build())
        await uow.commit()
    assert words == IN_A_TRANSACTION
    async with database.unit_of_work() as uow, transaction_control(uow) as words:
        stored = await uow.reviews.get(review.id)
        stored.files_analyzed += 1
        uow.reviews.add(ReviewFactory.build())
        await uow.commit()
    assert words == IN_A_TRANSACTION


async def test_the_first_violation_in_the_order_of_the_flush_is_raised(database: Database) -> None:
    review, finding = ReviewFactory.build(), FindingFactory.build()
    finding.review_id = review.id
    async with database.unit_of_work() as uow:
        uow.reviews.add(review)
        uow.findings.add(finding)
        await uow.commit()

    async def violation(id: UUID, **wrong: Any) -> tuple[RecollectError, list[str]]:
        async with database.unit_of_work() as uow, transaction_control(uow) as words:
            uow.findings.add(FindingFactory.build(id=finding.id, review_id=review.id))
            added = uow.reviews.add(ReviewFactory.build(id=id))
            vars(added).update(wrong)
            with pytest.raises(RecollectError) as caught:
                await uow.commit()
        assert uow.committed is False
        assert await has(database, id) is (id == review.id)
        return caught.value, words

    both, words = await violation(review.id)
    assert isinstance(both, AlreadyExists)
    assert both.table == "reviews"
    assert words == ["BEGIN", "ROLLBACK;"]
    one, _ = await violation(ReviewFactory.build().id)
    assert isinstance(one, AlreadyExists)
    assert one.table == "findings"
    check, _ = await violation(ReviewFactory.build().id, pr_number=-1)
    assert isinstance(check, CheckViolated)
    value, _ = await violation(ReviewFactory.build().id, pr_number=2**80)
    assert isinstance(value, InvalidInput)


async def stored_review(database: Database) -> Review:
    async with database.unit_of_work() as uow:
        review = uow.reviews.add(ReviewFactory.build())
        await uow.commit()
    return review


async def test_the_update_of_one_entity_is_all_that_is_sent(database: Database) -> None:
    key = (await stored_review(database)).id
    async with database.unit_of_work() as uow, transaction_control(uow) as words:
        review = await uow.reviews.get(key)
        review.files_analyzed, review.config_snapshot = 7, {"rules": ["a", 1]}
        review.model = None
        await uow.commit()
    assert words == []
    assert uow.committed is True
    review.files_analyzed = 8
    async with database.unit_of_work() as uow, transaction_control(uow) as words:
        assert await uow.reviews.find(key) == review.model_copy(update={"files_analyzed": 7})
        await uow.commit()
    assert words == []
    # A stored entity that is added again is updated.
    async with database.unit_of_work() as uow, transaction_control(uow) as words:
        uow.reviews.add(review)
        await uow.commit()
    assert words == []
    async with database.reader() as view:
        assert await view.reviews.get(key) == review


async def test_the_update_of_a_row_that_is_gone_is_a_conflict(database: Database) -> None:
    key = (await stored_review(database)).id
    async with database.unit_of_work() as uow:
        review = await uow.reviews.get(key)
        async with database.unit_of_work() as other:
            await other.reviews.delete(key)
            await other.commit()
        review.files_analyzed += 1
        with pytest.raises(Conflict):
            await uow.commit()
    assert uow.committed is False
    assert not await has(database, key)


async def test_a_refused_update_changes_nothing_and_can_be_corrected(database: Database) -> None:
    key = (await stored_review(database)).id
    async with database.unit_of_work() as uow:
        review = await uow.reviews.get(key)
        set_attribute(review, "pr_number", -1)
        review.files_analyzed = 9
        with pytest.raises(CheckViolated):
            await uow.commit()
    assert uow.committed is False
    assert (review.pr_number, review.files_analyzed) == (-1, 9)
    review.pr_number = 5
    async with database.unit_of_work() as uow:
        uow.reviews.add(review)
        await uow.commit()
    async with database.reader() as view:
        assert await view.reviews.get(key) == review


async def test_updates_of_one_row_by_many_tasks_wait_for_each_other(database: Database) -> None:
    key = (await stored_review(database)).id
    texts = [f"model {number}" for number in range(20)]

    async def change(name: str) -> None:
        async with database.unit_of_work() as uow:
            (await uow.reviews.get(key)).model = name
            await uow.commit()

    await asyncio.gather(*map(change, texts))
    async with database.reader() as view:
        assert (await view.reviews.get(key)).model in texts


async def test_a_unit_of_work_that_has_begun_commits_its_transaction(database: Database) -> None:
    async with database.unit_of_work() as uow, transaction_control(uow) as words:
        uow.reviews.add(ReviewFactory.build())
        await uow.flush()
        await uow.commit()
    assert words == IN_A_TRANSACTION
    async with (
        database.unit_of_work(isolation=Isolation.REPEATABLE_READ) as uow,
        transaction_control(uow) as words,
    ):
        uow.reviews.add(ReviewFactory.build())
        await uow.commit()
    assert words == IN_A_TRANSACTION


async def test_after_a_refused_insert_nothing_is_committed_and_the_next_one_begins(
    database: Database,
) -> None:
    review = ReviewFactory.build()
    async with database.unit_of_work() as uow:
        uow.reviews.add(review)
        await uow.commit()
    async with database.unit_of_work() as uow:
        uow.reviews.add(ReviewFactory.build(id=review.id))
        with pytest.raises(AlreadyExists):
            await uow.commit()
    assert uow.committed is False
    async with database.unit_of_work() as uow, transaction_control(uow) as words:
        uow.reviews.add(ReviewFactory.build())
        await uow.flush()
    assert words[:1] == ["BEGIN"]


async def test_a_server_that_refuses_writes_has_committed_nothing(database: Database) -> None:
    async with database.unit_of_work() as uow:
        driver: Any = uow._transaction._connection
        await driver.connection.driver_connection.execute("SET default_transaction_read_only = on")
        uow.reviews.add(ReviewFactory.build())
        with pytest.raises(ReadOnly):
            await uow.commit()
    assert uow.committed is False


async def test_a_value_that_the_driver_refuses_has_committed_nothing(database: Database) -> None:
    async with database.unit_of_work() as uow:
        review = uow.reviews.add(ReviewFactory.build())
        vars(review)["pr_number"] = 2**80
        with pytest.raises(InvalidInput):
            await uow.commit()
    assert uow.committed is False


async def test_a_cancelled_insert_that_waits_for_a_lock_says_what_happened(
    database: Database,
) -> None:
    review = ReviewFactory.build()
    units: list[UnitOfWork] = []

    async def add_again() -> None:
        async with database.unit_of_work() as uow:
            units.append(uow)
            uow.reviews.add(ReviewFactory.build(id=review.id))
            await uow.commit()

    async with database.unit_of_work() as uow:
        uow.reviews.add(review)
        await uow.flush()
        waiting = asyncio.create_task(add_again())
        await blocked(database)
        waiting.cancel()
        await uow.rollback()
    with pytest.raises(asyncio.CancelledError) as caught:
        await waiting
    assert units[0].committed is True
    assert caught.value.__notes__ == ["cancelled during COMMIT: it was carried out"]
    assert await has(database, review.id)


@contextmanager
def listening(target: Any, name: str, listener: Any) -> Iterator[None]:
    event.listen(target, name, listener)
    try:
        yield
    finally:
        event.remove(target, name, listener)


def fail_after_write(_: Mapper[Any], connection: Connection, __: object) -> None:
    connection.execute(text("SELECT 1 / 0"))


def fail_after_flush(session: Session, _: object) -> None:
    session.execute(text("SELECT 1 / 0"))


@pytest.mark.parametrize(
    ("target", "name", "listener"),
    [(Review, "after_insert", fail_after_write), (Session, "after_flush", fail_after_flush)],
)
async def test_what_a_listener_sends_belongs_to_the_same_transaction(
    database: Database, target: Any, name: str, listener: Any
) -> None:
    review = ReviewFactory.build()
    with listening(target, name, listener):
        async with database.unit_of_work() as uow:
            uow.reviews.add(review)
            with pytest.raises(InvalidInput):
                await uow.commit()
    assert not await has(database, review.id)


@pytest.mark.parametrize("name", ["after_commit", "pending_to_persistent"])
async def test_listeners_to_the_session_are_called(database: Database, name: str) -> None:
    calls: list[object] = []

    def listener(*values: object) -> None:
        calls.append(values)

    with listening(Session, name, listener):
        async with database.unit_of_work() as uow:
            uow.reviews.add(ReviewFactory.build())
            await uow.commit()
    assert len(calls) == 1


async def test_what_a_listener_to_updates_sends_belongs_to_the_same_transaction(
    database: Database,
) -> None:
    review = await stored_review(database)
    before = review.files_analyzed
    with listening(Review, "after_update", fail_after_write):
        async with database.unit_of_work() as uow:
            (await uow.reviews.get(review.id)).files_analyzed = before + 1
            with pytest.raises(InvalidInput):
                await uow.commit()
    async with database.reader() as view:
        assert (await view.reviews.get(review.id)).files_analyzed == before


async def test_a_row_that_a_trigger_skips_leaves_the_outcome_unknown(database: Database) -> None:
    await execute(
        database,
        "CREATE FUNCTION skip() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
        "CREATE TRIGGER skip BEFORE INSERT ON run_state FOR EACH ROW EXECUTE FUNCTION skip()",
    )
    try:
        async with database.unit_of_work() as uow:
            review = uow.reviews.add(ReviewFactory.build())
            uow.runs.add(RunStateFactory.build())
            with pytest.raises(CommitOutcomeUnknown, match="did not return every row"):
                await uow.commit()
    finally:
        await execute(database, "DROP FUNCTION skip CASCADE")
    assert uow.committed is None
    assert await has(database, review.id)


async def test_the_isolation_that_the_database_prefers_does_not_matter(
    database: Database, database_url: SecretStr
) -> None:
    name = database.engine.url.database
    await execute(
        database, f"ALTER DATABASE {name} SET default_transaction_isolation = 'serializable'"
    )
    review = await stored_review(database)

    async def change(other: Database) -> None:
        async with other.unit_of_work() as uow:
            (await uow.reviews.get(review.id)).files_analyzed += 1
            await uow.commit()

    try:
        async with Database.from_url(database_url) as other:
            await asyncio.gather(*(change(other) for _ in range(20)))
    finally:
        await execute(database, f"ALTER DATABASE {name} RESET default_transaction_isolation")


async def test_a_finding_of_a_missing_review_is_refused(database: Database) -> None:
    orphan: Finding = FindingFactory.build()
    async with database.unit_of_work() as uow:
        uow.findings.add(orphan)
        with pytest.raises(ReferenceViolated):
            await uow.commit()
    review = ReviewFactory.build()
    async with database.unit_of_work() as uow:
        uow.findings.add(orphan)
        uow.reviews.add(review)
        with pytest.raises(ReferenceViolated):
            await uow.commit()
    assert not await has(database, review.id)
    async with database.reader() as view:
        assert await view.findings.find(orphan.id) is None
