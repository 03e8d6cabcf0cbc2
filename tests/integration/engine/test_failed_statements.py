"""The typed error of each statement that fails."""

from __future__ import annotations

import asyncio
import traceback
from typing import TYPE_CHECKING, NamedTuple

import pytest
from sqlalchemy import Executable, insert, select, text

from domain import errors
from repositories.postgres.errors import translate, translating
from repositories.postgres.settings import Settings
from tests.integration.engine.support import SECRET, notes, on_posix, opened, parents

if TYPE_CHECKING:
    from pydantic import SecretStr
    from sqlalchemy.ext.asyncio import AsyncEngine

pytestmark = on_posix


class Fault(NamedTuple):
    """A statement that must fail, what that is called, and what the error must name."""

    name: str
    expected: type[errors.RecollectError]
    statement: Executable
    names: tuple[str, ...] = ()


def note(**values: object) -> Executable:
    return insert(notes).values(**{"id": 1, "email": SECRET, **values})


def raw(statement: str, **parameters: object) -> Executable:
    return text(statement).bindparams(**parameters)


FAULTS = [
    Fault(
        "unique",
        errors.AlreadyExists,
        insert(notes).values([{"id": n, "email": SECRET} for n in (1, 2)]),
        ("uq_notes_email",),
    ),
    Fault(
        "foreign key",
        errors.ReferenceViolated,
        note(parent_id=424_242),
        ("fk_notes_parent", "notes"),
    ),
    Fault(
        "check",
        errors.CheckViolated,
        note(email="bad", data={"pii": SECRET}),
        ("ck_notes_email", "notes"),
    ),
    Fault(
        "not null", errors.MissingValue, note(email=None, data={"pii": SECRET}), ("notes.email",)
    ),
    Fault("type", errors.InvalidInput, note(id=SECRET)),
    Fault("range", errors.InvalidInput, note(id=2**40)),
    Fault(
        "cast", errors.InvalidInput, raw("SELECT CAST(CAST(:value AS text) AS int)", value=SECRET)
    ),
    Fault("NUL", errors.InvalidInput, note(email=SECRET + "\0"), ("NUL",)),
    Fault("lone surrogate", errors.InvalidInput, note(email=SECRET + "\ud800")),
    Fault(
        "parameters",
        errors.InvalidInput,
        select(parents.c.id).where(parents.c.id.in_(range(40_000))),
        ("32,767",),
    ),
    Fault("privilege", errors.AccessDenied, raw("SELECT pg_read_file(:file)", file=SECRET)),
    Fault(
        "timeout",
        errors.StatementTimeout,
        raw("SELECT pg_sleep(5), CAST(:value AS text)", value=SECRET),
    ),
    Fault("no such table", errors.SchemaError, raw(f'SELECT 1 FROM "{SECRET}"'), ("42P01",)),
]


@pytest.mark.parametrize("fault", FAULTS, ids=[fault.name for fault in FAULTS])
async def test_a_failed_statement_is_called_by_its_name_without_its_values(
    engine: AsyncEngine, fault: Fault
) -> None:
    async with engine.connect() as connection:
        if fault.expected is errors.StatementTimeout:
            await connection.execute(text("SET LOCAL statement_timeout = 50"))
        with pytest.raises(fault.expected) as caught, translating():
            await connection.execute(fault.statement)
    assert type(caught.value) is fault.expected
    assert all(name in str(caught.value) for name in fault.names)
    report = f"{caught.value}{caught.value!r}{vars(caught.value)}" + "".join(
        traceback.format_exception(caught.value)
    )
    assert SECRET not in report


async def test_what_follows_a_failed_statement_is_poisoned(engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        with pytest.raises(errors.SchemaError), translating():
            await connection.execute(text("SELECT 1/0 FROM nowhere"))
        with pytest.raises(errors.TransactionAborted), translating():
            await connection.execute(text("SELECT 1"))


async def test_a_lock_is_waited_for_as_long_as_the_settings_say(url: SecretStr) -> None:
    async with (
        opened(Settings(url=url, lock_timeout=0.05)) as engine,
        engine.connect() as first,
        engine.connect() as second,
    ):
        lock = text("LOCK TABLE parents")
        await first.execute(lock)
        with pytest.raises(errors.LockTimeout), translating():
            await second.execute(lock)


async def test_a_deadlock_is_a_conflict(engine: AsyncEngine) -> None:
    async with engine.connect() as first, engine.connect() as second:
        lock = text("SELECT pg_advisory_xact_lock(:key)")
        await first.execute(lock, {"key": 1})
        await second.execute(lock, {"key": 2})
        crossed = asyncio.gather(
            first.execute(lock, {"key": 2}),
            second.execute(lock, {"key": 1}),
            return_exceptions=True,
        )
        outcomes = [
            outcome
            for outcome in await asyncio.wait_for(crossed, 10)
            if isinstance(outcome, BaseException)
        ]
        assert [type(translate(outcome)) for outcome in outcomes] == [errors.Conflict]
