"""Bulk writes on PostgreSQL: whichever way the rows go, the outcome is the same."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from sqlalchemy import text

from domain import (
    AlreadyExists,
    CheckViolated,
    ConnectionLost,
    InvalidInput,
    KnowledgeChunk,
    MissingValue,
    NotLoaded,
    Outcome,
    ReferenceViolated,
    TransactionAborted,
    UnitOfWork,
    Vector,
)
from repositories import Database
from repositories.bulk import staging, writing
from repositories.postgres import hosts
from repositories.sql.bulk import raise_limits
from repositories.testing.statements import statements_of
from tests.contract.suites.kinds import write
from tests.contract.suites.samples import (
    chunk,
    event,
    finding,
    memory,
    reaction,
    review,
    suppression,
)
from tests.integration.sessions import blocked

if TYPE_CHECKING:
    from pydantic import SecretStr

    from domain.schema.base import Entity

NEVER = 1_000_000
FEW = 3
"""Rows in a batch, where more than a batch are wanted."""

WAYS = {
    "one INSERT": (NEVER, NEVER, True),
    "COPY": (1, NEVER, True),
    "a list in batches": (1, FEW, True),
    "prepared": (NEVER, FEW, False),
    "batch after batch": (1, FEW, False),
}


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Each way that a bulk write can take, forced upon a few rows."""
    chosen: str = request.param
    copy_from, batch_size, in_memory = WAYS[chosen]
    monkeypatch.setattr(writing, "COPY_FROM", copy_from)
    monkeypatch.setattr(writing, "BATCH_SIZE", batch_size)
    if not in_memory:
        monkeypatch.setattr(writing, "in_memory", lambda _: False)
    if chosen == "batch after batch":
        monkeypatch.setattr(writing, "natural_key", lambda _: ())
    return chosen


@pytest.fixture
def in_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a batch be a few rows."""
    monkeypatch.setattr(writing, "BATCH_SIZE", FEW)


@pytest.fixture
def by_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let COPY write any number of new rows."""
    monkeypatch.setattr(writing, "COPY_FROM", 1)


def full(number: int) -> KnowledgeChunk:
    return chunk(
        f"chunk {number}",
        f"tab\t, back\\slash, null \\N and 'quotes' {number}",
        repo="acme/ünï",
        language="python",
        title="{a,b}",
        metadata_={"number": number, "text": "ä\\\"'", "list": [1, [2.5, None]], "none": None},
        embedding=Vector([0.1 * number + 0.1] * 8),
        embedding_model="model",
        stale=True,
        token_count=3,
        created_at=datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC),
    )


def values(entity: Entity) -> dict[str, Any]:
    return {name: vars(entity)[name] for name in type(entity).model_fields}


async def test_every_column_arrives_as_it_was_whichever_way_it_goes(
    database: Database, way: str
) -> None:
    of = review()
    commented = finding(of)
    rows: dict[str, list[Any]] = {
        "knowledge": [full(number) for number in range(7)],
        "findings": [
            commented,
            *(finding(of, file_path=f"{n}.py", confidence=n) for n in range(4)),
        ],
        "suppressions": [
            suppression(of, finding_ids=(commented.id, of.id)[:n]) for n in (2, 0, 1, 2)
        ],
        "reactions": [reaction(commented) for _ in range(5)],
        "memories": [memory(embedding=[0.5] * 8, outcome=Outcome.ACCEPTED) for _ in range(5)],
        "telemetry": [
            event(cost_usd=Decimal("1.23456789"), input_tokens=2**40, session_id="s")
            for _ in range(5)
        ],
    }
    await write(database, of)
    async with database.unit_of_work() as uow:
        for path, entities in rows.items():
            assert await getattr(uow, path).add_many(iter(entities)) == len(entities)
        await uow.commit()
    async with database.reader() as view:
        for path, entities in rows.items():
            stored = await getattr(view, path).list(
                with_embedding=path in ("knowledge", "memories")
            )
            for there, original in zip(
                stored, sorted(entities, key=lambda entity: entity.id), strict=True
            ):
                assert values(there) == values(original) | {
                    name: vars(there)[name]
                    for name in ("created_at", "updated_at")
                    if vars(original).get(name, 0) is None
                }


async def test_missing_values_are_filled_in_by_the_server(database: Database, way: str) -> None:
    moment = datetime(2026, 1, 2, tzinfo=UTC)
    undated, mixed = (
        [event() for _ in range(4)],
        [event(created_at=moment), event(), event(created_at=moment)],
    )
    async with database.unit_of_work() as uow:
        await uow.telemetry.record_many(undated)
        await uow.telemetry.record_many(mixed)
        await uow.knowledge.upsert_many([chunk(f"{n}") for n in range(5)])
        now = (await uow._transaction.execute(text("SELECT now()"))).scalar_one()
        rows = await uow.telemetry.get_many(row.id for row in [*undated, *mixed])
        assert [rows[row.id].created_at for row in undated] == [now] * 4
        assert [rows[row.id].created_at for row in mixed] == [moment, now, moment]
        assert {row.updated_at for row in await uow.knowledge.list()} == {now}


KEYS = [uuid4() for _ in range(12)]
Bad = Callable[[UnitOfWork], Awaitable[Any]]

VIOLATIONS: dict[str, tuple[type[Exception], str, Callable[[Any], Bad]]] = {
    "unique": (
        AlreadyExists,
        "uq_knowledge_tenant_repo_chunk_id",
        lambda _: (
            lambda uow: uow.knowledge.add_many([chunk("a"), chunk("b"), chunk("c"), chunk("a")])
        ),
    ),
    "key": (
        AlreadyExists,
        "pk_knowledge",
        lambda _: (
            lambda uow: uow.knowledge.add_many(
                [
                    chunk(name).model_copy(update={"id": KEYS[number % 3]})
                    for number, name in enumerate("abcd")
                ]
            )
        ),
    ),
    "reference": (
        ReferenceViolated,
        "fk_findings_reviews",
        lambda of: (
            lambda uow: uow.findings.add_many([*(finding(of) for _ in range(3)), finding(review())])
        ),
    ),
    "check": (
        CheckViolated,
        "ck_findings_confidence",
        lambda of: (
            lambda uow: uow.findings.add_many(
                [
                    *(finding(of) for _ in range(3)),
                    finding(of).model_copy(update={"confidence": 101}),
                ]
            )
        ),
    ),
    "check of an upsert": (
        CheckViolated,
        "ck_knowledge_token_count",
        lambda _: (
            lambda uow: uow.knowledge.upsert_many(
                [
                    *(chunk(f"{n}") for n in range(3)),
                    chunk("x").model_copy(update={"token_count": -1}),
                ]
            )
        ),
    ),
}


async def test_a_broken_rule_has_the_name_that_it_has_for_one_row(
    database: Database, way: str
) -> None:
    of = review()
    await write(database, of)
    for kind, constraint, bad in VIOLATIONS.values():
        async with database.unit_of_work() as uow:
            uow.knowledge.add(chunk("kept"))
            with pytest.raises(kind) as raised:
                async with uow.savepoint():
                    await bad(of)(uow)
            assert getattr(raised.value, "constraint", None) == constraint
            assert await uow.knowledge.count() == 1, (
                "a savepoint undoes the write, and the rest continues"
            )
            assert await uow.findings.count() == 0
            with pytest.raises(kind):
                await bad(of)(uow)
            with pytest.raises(TransactionAborted):
                await uow.commit()


async def test_a_missing_value_names_its_column(database: Database, way: str) -> None:
    rows = [*(event() for _ in range(3)), event().model_copy(update={"repo": None})]
    async with database.unit_of_work() as uow:
        with pytest.raises(MissingValue) as raised:
            await uow.telemetry.record_many(rows)
    assert raised.value.column == "repo"


WRONG: tuple[dict[str, Any], ...] = (
    {"content": 7},
    {"token_count": 2**40},
    {"content": "\ud800"},
    {"metadata_": {"a": object()}},
)


async def test_a_value_of_another_type_is_refused_and_not_shown(
    database: Database, way: str
) -> None:
    for wrong in WRONG:
        rows = [*(chunk(f"{n}") for n in range(3)), chunk("x").model_copy(update=wrong)]
        async with database.unit_of_work() as uow:
            with pytest.raises(InvalidInput) as raised:
                await uow.knowledge.add_many(rows)
            assert raised.value.__cause__ is None
            assert raised.value.__context__ is None
            with pytest.raises(TransactionAborted):
                await uow.commit()


async def test_an_unvalidated_moment_is_the_same_moment_or_refused(
    database: Database, way: str
) -> None:
    moment = datetime(2026, 1, 2, tzinfo=UTC)
    elsewhere = moment.astimezone(timezone(timedelta(hours=2)))
    events = [
        event(created_at=moment).model_copy(update={"created_at": at})
        for at in (moment, elsewhere, moment)
    ]
    async with database.unit_of_work() as uow:
        assert await uow.telemetry.record_many(events) == 3
        assert {event_row.created_at for event_row in await uow.telemetry.list()} == {moment}
    async with database.unit_of_work() as uow:
        with pytest.raises(InvalidInput):
            await uow.telemetry.record_many(
                [*events, events[0].model_copy(update={"created_at": datetime(2026, 1, 2)})]  # noqa: DTZ001
            )


async def test_events_of_which_some_have_a_moment_are_written_together(
    database: Database, in_batches: None, by_copy: None
) -> None:
    events = [
        event(created_at=datetime(2026, 1, 2, tzinfo=UTC)) if number % 4 else event()
        for number in range(4 * FEW)
    ]
    async with database.unit_of_work() as uow:
        assert await uow.telemetry.record_many(events) == len(events)
        await uow.commit()
    async with database.reader() as view:
        assert {event_row.id for event_row in await view.telemetry.list()} == {
            one.id for one in events
        }


async def test_an_entity_whose_embedding_was_not_read_is_not_written_without_it(
    database: Database, way: str
) -> None:
    await write(database, *(full(number) for number in range(4)))
    async with database.reader() as view:
        read = await view.knowledge.list()
    async with database.unit_of_work() as uow:
        with pytest.raises(NotLoaded):
            await uow.knowledge.upsert_many(read)


async def test_of_equal_chunks_the_last_wins_and_counts_once_however_far_apart(
    database: Database, way: str
) -> None:
    await write(database, chunk("b", "old"))
    before = await only(database)
    chunks = [chunk(name, f"{name}{n}") for n in range(4) for name in "cab"]
    async with database.unit_of_work() as uow:
        assert await uow.knowledge.upsert_many(chunks) == 3
        await uow.commit()
    async with database.reader() as view:
        assert {row.chunk_id: row.content for row in await view.knowledge.list()} == {
            "a": "a3",
            "b": "b3",
            "c": "c3",
        }
        replaced = await view.knowledge.find_by_chunk_id("b")
    assert replaced is not None
    assert (replaced.id, replaced.created_at) == (before.id, before.created_at)


async def only(database: Database) -> KnowledgeChunk:
    async with database.reader() as view:
        return (await view.knowledge.list())[0]


async def test_of_equal_memories_the_first_wins_however_far_apart(
    database: Database, way: str
) -> None:
    memories = [memory(f"{n}", finding_id=key) for n in range(4) for key in KEYS[:3]]
    async with database.unit_of_work() as uow:
        assert await uow.memories.write_many([memory("there", finding_id=KEYS[0])]) == 1
        assert await uow.memories.write_many(memories) == 2
        assert sorted(row.finding_text for row in await uow.memories.list()) == ["0", "0", "there"]


async def test_progress_is_reported_after_each_batch(database: Database, way: str) -> None:
    counts: list[int] = []
    async with database.unit_of_work() as uow:
        assert (
            await uow.knowledge.add_many([chunk(f"{n}") for n in range(7)], progress=counts.append)
            == 7
        )
    assert counts == ([3, 6, 7] if WAYS[way][1] == FEW else [7])


@pytest.fixture
def little_to_collect() -> Iterator[None]:
    """Limit garbage collections to the objects that the test creates."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


async def test_no_more_than_a_batch_is_in_memory(
    database: Database, in_batches: None, little_to_collect: None
) -> None:
    references: list[weakref.ref[Any]] = []
    most = 0

    def made(make: Callable[[int], Any]) -> Iterator[Any]:
        nonlocal most
        for number in range(10 * FEW):
            entity = make(number)
            references.append(weakref.ref(entity))
            yield entity
            del entity
            gc.collect()
            most = max(most, sum(ref() is not None for ref in references))

    async with database.unit_of_work() as uow:
        await uow.knowledge.add_many(made(lambda number: chunk(f"{number}")))
        await uow.knowledge.upsert_many(made(lambda number: chunk(f"{number}")))
        await uow.memories.write_many(made(lambda _: memory()))
        await uow.telemetry.record_many(made(lambda _: event()))
    assert 0 < most <= FEW


async def test_what_is_read_in_the_same_unit_of_work_can_be_written_as_it_comes(
    database: Database, way: str
) -> None:
    await write(database, *(full(number) for number in range(7)))
    async with database.unit_of_work() as uow:

        async def copies() -> AsyncIterator[KnowledgeChunk]:
            async for row in uow.knowledge.stream(batch_size=2, with_embedding=True):
                yield KnowledgeChunk(
                    **row.model_dump(exclude={"id"})
                    | {"repo": "acme/copy", "embedding": row.embedding}
                )

        assert await uow.knowledge.add_many(copies()) == 7
        assert await uow.knowledge.count() == 14


WRITES: dict[str, Callable[[UnitOfWork, list[int]], Awaitable[int]]] = {
    "upsert_many of a list": lambda uow, numbers: uow.knowledge.upsert_many(
        [chunk(f"Ä{n}") for n in numbers]
    ),
    "upsert_many": lambda uow, numbers: uow.knowledge.upsert_many(chunk(f"Ä{n}") for n in numbers),
    "write_many": lambda uow, numbers: uow.memories.write_many(
        memory(finding_id=KEYS[n]) for n in numbers
    ),
}


@pytest.mark.parametrize("operation", WRITES)
async def test_writers_of_many_batches_in_any_order_do_not_deadlock(
    database: Database, operation: str, in_batches: None
) -> None:
    forwards, backwards = list(range(12)), list(reversed(range(12)))

    async def run(numbers: list[int]) -> None:
        async with database.unit_of_work() as uow:
            await WRITES[operation](uow, numbers)
            await uow.commit()

    for _ in range(4):
        await asyncio.gather(
            run(forwards), run(backwards), run(forwards[6:] + forwards[:6]), run(backwards[:2])
        )


@asynccontextmanager
async def a_write_that_waits(database: Database) -> AsyncIterator[tuple[asyncio.Task[None], int]]:
    """Lend a task that waits for another's row, and its process in the server.

    The same rows can be written afterwards.
    """
    async with database.unit_of_work() as holder:
        await holder.knowledge.upsert_many([chunk("b")])

        async def waiting() -> None:
            async with database.unit_of_work() as uow:
                await uow.knowledge.add_many([chunk(name) for name in "abc"])

        async with asyncio.timeout(10):
            yield asyncio.create_task(waiting()), await blocked(database)
    assert database.pool_figures().checked_out == 0
    async with database.unit_of_work() as uow:
        assert await uow.knowledge.add_many([chunk(name) for name in "abc"]) == 3


async def test_a_copy_that_is_cancelled_leaves_nothing_and_no_connection_behind(
    database: Database, by_copy: None
) -> None:
    async with a_write_that_waits(database) as (task, _):
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_a_connection_that_ends_during_a_copy_raises_and_is_replaced(
    database: Database, by_copy: None
) -> None:
    async with a_write_that_waits(database) as (task, waiter):
        async with database.engine.connect() as connection:
            await connection.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": waiter})
        with pytest.raises(ConnectionLost):
            await task


@asynccontextmanager
async def altered(database: Database, there: str, back: str) -> AsyncIterator[None]:
    """Change what the database allows, for a while."""

    async def execute(statements: str) -> None:
        async with database.engine.begin() as connection:
            for statement in statements.split(";"):
                await connection.execute(text(statement))

    await execute(there)
    try:
        yield
    finally:
        await execute(back)


async def test_where_policies_forbid_copy_the_rows_go_another_way(
    database: Database, way: str
) -> None:
    there = (
        "CREATE POLICY p ON knowledge USING (true); ALTER TABLE knowledge ENABLE ROW LEVEL "
        "SECURITY, FORCE ROW LEVEL SECURITY"
    )
    back = (
        "ALTER TABLE knowledge DISABLE ROW LEVEL SECURITY, NO FORCE ROW LEVEL SECURITY; DROP "
        "POLICY p ON knowledge"
    )
    async with altered(database, there, back), database.unit_of_work() as uow:
        assert await uow.knowledge.add_many([full(number) for number in range(4)]) == 4
        assert await uow.knowledge.upsert_many([full(number) for number in range(8)]) == 8


async def test_a_role_without_temporary_tables_writes_batch_after_batch(
    database: Database, in_batches: None
) -> None:
    name = database.engine.url.database
    rule = f'TEMPORARY ON DATABASE "{name}"'
    there = f"REVOKE {rule} FROM PUBLIC; REVOKE {rule} FROM CURRENT_USER"
    back = f"GRANT {rule} TO PUBLIC; GRANT {rule} TO CURRENT_USER"
    async with altered(database, there, back), database.unit_of_work() as uow:
        assert await uow.knowledge.upsert_many(chunk(name) for name in "abcdabcd") == 4
        assert await uow.memories.write_many(memory(finding_id=key) for key in KEYS[:8]) == 8


async def test_the_limits_of_statements_are_raised_for_the_one_that_does_the_work_of_many(
    database_url: SecretStr, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "BATCH_SIZE", FEW)
    monkeypatch.setattr(staging, "STATEMENT_ROWS", 2)
    ask = text("SELECT current_setting('statement_timeout'), current_setting('work_mem')")
    async with (
        Database.from_url(database_url, statement_timeout=timedelta(seconds=7)) as own,
        own.unit_of_work() as uow,
    ):
        before = (await uow._transaction.execute(ask)).one()
        assert before[0] == "7s"
        with statements_of(own) as statements:
            assert await uow.knowledge.add_many(chunk(f"{n}") for n in range(7)) == 7
        assert sum("set_config" in statement for statement in statements) == 2, (
            "raised, and taken back"
        )
        assert (await uow._transaction.execute(ask)).one() == before
        raised = (await uow._transaction.execute(raise_limits(4))).one()
        assert tuple(raised) == ("64MB", "28s", 28_000)


@pytest.mark.parametrize("operation", ["add_many", "upsert_many", "write_many"])
async def test_a_write_of_many_batches_takes_longer_than_one_statement_may(
    database_url: SecretStr,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
    operation: str,
) -> None:
    monkeypatch.setattr(writing, "BATCH_SIZE", FEW)
    monkeypatch.setattr(staging, "STATEMENT_ROWS", 1)
    monkeypatch.setattr(hosts, "GRACE_SECONDS", 0.1)
    monkeypatch.setattr(staging, "GRACE_SECONDS", 0.1)
    tables = ("knowledge", "learning_memories")
    slow = "ALTER TABLE {} ADD CONSTRAINT slow CHECK (pg_sleep(0.2)::text = '') NOT VALID"
    there = ";".join(map(slow.format, tables))
    back = ";".join(map("ALTER TABLE {} DROP CONSTRAINT slow".format, tables))
    async with (
        altered(database, there, back),
        Database.from_url(database_url, statement_timeout=timedelta(seconds=0.6)) as own,
        own.unit_of_work() as uow,
    ):
        if operation == "write_many":
            keys = KEYS[:7]
            written = await uow.memories.write_many(memory(finding_id=key) for key in keys)
        else:
            write = getattr(uow.knowledge, operation)
            written = await write(chunk(f"{n}") for n in range(7))
        assert written == 7


async def test_behind_a_pooler_the_ways_are_the_same(
    database_url: SecretStr, database: Database, way: str
) -> None:
    async with (
        Database.from_url(database_url, pooler="pgbouncer") as pooled,
        pooled.unit_of_work() as uow,
    ):
        assert await uow.knowledge.add_many([full(number) for number in range(7)]) == 7
        assert await uow.knowledge.upsert_many([full(number) for number in range(9)]) == 9
        assert (await uow.knowledge.list(with_embedding=True))[0].embedding == full(0).embedding
