"""Rows that a bulk write refuses, whichever way they go."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from domain import (
    AlreadyExists,
    CheckViolated,
    InvalidInput,
    MissingValue,
    NotLoaded,
    ReferenceViolated,
    TransactionAborted,
    UnitOfWork,
)
from repositories import Database
from tests.contract.suites.kinds import write
from tests.contract.suites.samples import chunk, event, finding, review
from tests.integration.bulk.support import KEYS, full

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


async def test_an_entity_whose_embedding_was_not_read_is_not_written_without_it(
    database: Database, way: str
) -> None:
    await write(database, *(full(number) for number in range(4)))
    async with database.reader() as view:
        read = await view.knowledge.list()
    async with database.unit_of_work() as uow:
        with pytest.raises(NotLoaded):
            await uow.knowledge.upsert_many(read)
