"""Compare the answers to one tenant with and without another tenant's rows in the database."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, fields, is_dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from pydantic import BaseModel
from sqlalchemy import text

from domain import RecollectError
from domain.schema.base import Entity
from domain.schema.registries import metadata
from repositories import Database, FakeDatabase
from repositories.fakes.unit_of_work import FakeUnitOfWork
from tests.conftest import DIMENSIONS
from tests.contract.calls import OPERATIONS, TenantData, write_copies
from tests.contract.ports import all_operations
from tests.contract.suites import Store

OURS: Final = "ours"
THEIRS: Final = "theirs"

_TABLES: Final = [table.name for table in metadata.sorted_tables if "tenant" in table.c]

_ROWS: Final = text(
    " UNION ALL ".join(
        f"SELECT '{table}', xmin::text, ctid::text, t::text FROM {table} AS t WHERE tenant = "
        f"'{THEIRS}'"
        for table in _TABLES
    )
)
"""Return every row of the other tenant, with its last transaction and its physical place."""


@dataclass(frozen=True)
class Outcome:
    """The answer of an operation, and whether it touched a row of the other tenant."""

    answer: Any
    touched: bool


@dataclass(frozen=True)
class Case:
    """A store for one operation after another, each as if nothing had been asked before."""

    store: Store
    foreign_rows: Callable[[Any], Awaitable[list[Any]]]


Fresh = Callable[[], AbstractAsyncContextManager[Case]]


async def a_fake(ours: TenantData | None, theirs: TenantData | None) -> Fresh:
    """Return what makes a fake with these rows for each operation; units of work are committed."""
    filled = FakeDatabase(dimensions=DIMENSIONS)
    await _keep(filled, ours, theirs)

    @asynccontextmanager
    async def fresh() -> AsyncIterator[Case]:
        store = FakeDatabase(dimensions=DIMENSIONS)
        committed = store._state.committed
        for name, rows in filled._state.committed.items():
            committed[name] = dict(rows)

        async def foreign_rows(uow: Any) -> list[Any]:
            if isinstance(uow, FakeUnitOfWork) and uow.is_open:
                await uow.commit()
            return [
                dict(row)
                for name in _TABLES
                for row in committed[name].values()
                if row and row["tenant"] == THEIRS
            ]

        yield Case(store, foreign_rows)

    return fresh


async def a_database(
    database: Database, ours: TenantData | None, theirs: TenantData | None
) -> Fresh:
    """Return what lends the database with these rows.

    Units of work are not committed, and looked at from inside.
    """
    await _keep(database, ours, theirs)

    async def foreign_rows(uow: Any) -> list[Any]:
        if uow is not None and uow.is_open:
            return sorted(map(tuple, await uow._transaction.execute(_ROWS)))
        async with database.engine.connect() as connection:
            return sorted(map(tuple, await connection.execute(_ROWS)))

    @asynccontextmanager
    async def fresh() -> AsyncIterator[Case]:
        yield Case(database, foreign_rows)

    return fresh


async def _keep(store: Store, ours: TenantData | None, theirs: TenantData | None) -> None:
    for tenant, data in ((OURS, ours), (THEIRS, theirs)):
        if data is not None:
            await write_copies(store, tenant, data)


async def outcomes_of_every_operation(
    fresh: Fresh, data: TenantData, *, only: str = ""
) -> dict[str, Outcome]:
    """Do every operation as us, or those that have `only` in their name, with the keys of `data`.

    Return what came of each.
    """
    ids = {key for keys in data.ids.values() for key in keys} | {
        data.review.id,
        data.finding.id,
        data.pending.id,
    }
    return {
        operation: await _outcome_of(operation, fresh, data, ids)
        for operation in _in_order()
        if only in operation
    }


def _in_order() -> list[str]:
    # Operations that commit come last, because their rows stay.
    return sorted(
        all_operations(),
        key=lambda operation: (operation.endswith((".commit", ".rollback")), operation),
    )


async def _outcome_of(
    operation: str, fresh: Fresh, data: TenantData, ids: Collection[UUID]
) -> Outcome:
    unit, _, name = operation.partition(".")
    _, call = OPERATIONS[name]
    async with fresh() as case:
        open_unit: Callable[..., Any] = (
            case.store.unit_of_work if unit == "uow" else case.store.reader
        )
        async with open_unit(tenant=OURS) as uow:
            before = await case.foreign_rows(None)
            try:
                answer = comparable(await call(uow, data), ids)
            except RecollectError as error:
                # A transaction that failed keeps nothing.
                return Outcome(type(error).__name__, touched=False)
            return Outcome(answer, touched=await case.foreign_rows(uow) != before)


def differing(alone: dict[str, Outcome], beside_them: dict[str, Outcome]) -> list[str]:
    """Return the operations that another tenant's rows influence, or that touch those rows."""
    return [
        name
        for name, outcome in beside_them.items()
        if outcome.touched or outcome.answer != alone[name].answer
    ]


def comparable(answer: Any, ids: Collection[UUID]) -> Any:
    """Return the answer without the parts that differ from call to call.

    Those are moments, new ids and names, and scores. A keyword score may depend on how common the
    words are in the whole table; the hits and their order do not.
    """
    match answer:
        case UUID():
            return answer if answer in ids else "an id"
        case float() | datetime():
            return type(answer).__name__
        case str():
            return re.sub(r"-\d+$", "", answer)
        case Mapping():
            return {comparable(key, ids): comparable(value, ids) for key, value in answer.items()}
        case set() | frozenset():
            return sorted(repr(comparable(one, ids)) for one in answer)
        case list() | tuple():
            return [comparable(one, ids) for one in answer]
        case _ if names := _parts(answer):
            return {name: comparable(getattr(answer, name, None), ids) for name in names}
        case _:
            return repr(answer)


def _parts(answer: Any) -> list[str]:
    if isinstance(answer, Entity):
        # Not an embedding that was left out.
        return [name for name in type(answer).model_fields if name in vars(answer)]
    if isinstance(answer, BaseModel):
        return list(type(answer).model_fields)
    return [field.name for field in fields(answer)] if is_dataclass(answer) else []
