"""Bulk writes on PostgreSQL: whichever way the rows go, the outcome is the same."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from sqlalchemy import text

from domain import KnowledgeChunk, Outcome
from repositories import Database
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
from tests.integration.bulk.support import FEW, KEYS, WAYS, full

if TYPE_CHECKING:
    from pydantic import SecretStr

    from domain.schema.base import Entity


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
