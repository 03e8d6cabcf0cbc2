"""Many writers of the same rows.

No write is lost, no writer starves, and each level of isolation keeps its guarantee.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from itertools import count
from typing import TYPE_CHECKING

import asyncpg
import pytest_asyncio
from sqlalchemy import text

from domain import CheckpointData, Conflict, Isolation, ReviewCheckpoint, UnitOfWork
from repositories import Database
from tests.conftest import DIMENSIONS
from tests.contract.suites.samples import chunk
from tests.faults.conftest import Effort, Promises, on_the_newest
from tests.faults.histories import Anomalies, Seen, anomalies

if TYPE_CHECKING:
    from repositories.testing.servers import TestServer

pytestmark = on_the_newest

KEYS = tuple(f"row-{number}" for number in range(5))
WRITERS = 8


async def read(uow: UnitOfWork, key: str) -> tuple[int, ...]:
    """Return the numbers that were appended under the key."""
    checkpoint_row = await uow.checkpoints.find_by_key(key)
    return (
        ()
        if checkpoint_row is None
        else tuple(map(int, checkpoint_row.checkpoint_data.files_reviewed))
    )


async def append(uow: UnitOfWork, key: str, number: int) -> None:
    """Read the list, and write it again with one number more.

    Whoever does so at the same time is overwritten.
    """
    await write(uow, key, (*await read(uow, key), number))


async def write(uow: UnitOfWork, key: str, numbers: tuple[int, ...]) -> None:
    data = CheckpointData(
        files_reviewed=tuple(map(str, numbers)), finding_count=0, summary_draft="", total_files=0
    )
    await uow.checkpoints.save(
        ReviewCheckpoint(review_output_key=key, repo="acme/api", pr_number=7, checkpoint_data=data)
    )


async def emptied(database: Database) -> None:
    async with database.unit_of_work() as uow:
        for key in KEYS:
            await write(uow, key, ())
        await uow.commit()


async def final(database: Database) -> dict[str, tuple[int, ...]]:
    async with database.unit_of_work() as uow:
        return {key: await read(uow, key) for key in KEYS}


async def by_all_writers(work: Callable[[random.Random], Awaitable[None]], times: int) -> None:
    """Do the work so often in each of the writers at the same time."""

    async def alone(seed: int) -> None:
        chance = random.Random(seed)
        for _ in range(times):
            await work(chance)

    async with asyncio.TaskGroup() as group:
        for seed in range(WRITERS):
            group.create_task(alone(seed))


async def test_conflicts_are_retried_until_each_unit_of_work_is_committed_once(
    database: Database, effort: Effort, promises: Promises
) -> None:
    numbers, attempts = count(1), Counter[int]()

    async def appended(chance: random.Random, *, limit: int) -> None:
        key, number, tried = chance.choice(KEYS), next(numbers), 0

        async def work(uow: UnitOfWork) -> None:
            nonlocal tried
            tried += 1
            await append(uow, key, number)

        await database.run(work, isolation=Isolation.SERIALIZABLE, attempts=limit)
        attempts[tried] += 1

    await emptied(database)
    times = effort.times(5, 60)
    await by_all_writers(lambda chance: appended(chance, limit=50), times)
    numbers_stored = [number for numbers in (await final(database)).values() for number in numbers]
    assert sorted(numbers_stored) == list(range(1, WRITERS * times + 1))

    failed = 0

    async def once(chance: random.Random) -> None:
        nonlocal failed
        try:
            await appended(chance, limit=1)
        except Conflict:
            failed += 1

    most, total = max(attempts), sum(attempts.values())
    retries = sum(tried * often for tried, often in attempts.items()) - total
    await by_all_writers(once, effort.times(3, 20))
    assert failed > 0
    promises(
        "Conflicts are retried until they succeed",
        f"{total} of {total} committed once, {WRITERS} writers on {len(KEYS)} rows; "
        f"{retries / total:.2f} retries each, {most} attempts at most",
        control=f"without retries {failed} of {WRITERS * effort.times(3, 20)} fail",
    )


async def history(database: Database, isolation: Isolation, times: int) -> tuple[int, Anomalies]:
    """Let all writers read one list and append to another, and judge what came of it."""
    numbers, transactions = count(1), list[Seen]()

    async def one(chance: random.Random) -> None:
        number, (other, key) = next(numbers), chance.sample(KEYS, 2)
        try:
            async with database.unit_of_work(isolation=isolation) as uow:
                reads = {other: await read(uow, other), key: await read(uow, key)}
                await write(uow, key, (*reads[key], number))
                await uow.commit()
        except Conflict:
            return
        transactions.append(Seen(number, reads, key))

    await emptied(database)
    await by_all_writers(one, times)
    return len(transactions), anomalies(transactions, await final(database))


async def test_serializable_units_of_work_could_have_run_one_after_the_other(
    database: Database, effort: Effort, promises: Promises
) -> None:
    times = effort.times(6, 100)
    # What is not there takes more to show than what is: the two levels below are controls.
    committed, anomalies = await history(database, Isolation.SERIALIZABLE, 8 * times)
    assert committed > times
    assert anomalies == Anomalies(lost=0, in_cycles=0)
    loose, control = await history(database, Isolation.READ_COMMITTED, times)
    assert control.lost > 0
    _, skewed = await history(database, Isolation.REPEATABLE_READ, times)
    assert skewed.lost == 0
    promises(
        "Isolation levels prevent what they promise to",
        f"serializable: 0 lost appends and 0 cycles in {committed:,} units of work; repeatable "
        "read: 0 lost",
        control=f"read committed lost {control.lost:,} of {loose:,}; repeatable read had "
        f"{skewed.in_cycles:,} in cycles",
    )


# Bulk writes


@pytest_asyncio.fixture
async def impatient(server: TestServer) -> AsyncIterator[Database]:
    """A database of its own, that looks for deadlocks at once."""
    url = await asyncio.to_thread(server.clone)
    async with Database.from_url(url) as database:
        admin = await asyncpg.connect(server.server.admin_url.get_secret_value())
        await admin.execute(
            f"ALTER DATABASE {database.settings.database} SET deadlock_timeout = '20ms'"
        )
        await admin.close()
        await database.engine.dispose()
        yield database


async def test_bulk_writes_of_the_same_rows_in_any_order_do_not_deadlock(
    impatient: Database, effort: Effort, promises: Promises
) -> None:
    rounds, at_once = effort.times(2, 25), 6
    rows = [chunk(f"row-{number}", embedding=[0.5] * DIMENSIONS) for number in range(200)]

    async def sorted_by_the_library(_: int) -> None:
        async with impatient.unit_of_work() as uow:
            await uow.knowledge.upsert_many(
                [chunk(row.chunk_id) for row in random.sample(rows, len(rows))]
            )
            await uow.commit()

    async def as_they_come(_: int) -> None:
        async with impatient.unit_of_work() as uow:
            for row in random.sample(rows, len(rows)):
                touched = text("UPDATE knowledge SET title = 'x' WHERE chunk_id = :id").bindparams(
                    id=row.chunk_id
                )
                await uow._transaction.execute(touched)
            await uow.commit()

    async def deadlocks(work: Callable[[int], Awaitable[None]], rounds: int) -> int:
        conflicts = 0
        for _ in range(rounds):
            outcomes = await asyncio.gather(*map(work, range(at_once)), return_exceptions=True)
            assert {type(outcome) for outcome in outcomes} <= {type(None), Conflict}
            conflicts += sum(outcome is not None for outcome in outcomes)
        return conflicts

    assert await deadlocks(sorted_by_the_library, rounds) == 0
    unsorted = await deadlocks(as_they_come, effort.times(1, 5))
    assert unsorted > 0
    promises(
        "Bulk writes do not deadlock",
        f"0 of {rounds * at_once}, {at_once} at a time on the same {len(rows)} rows",
        control=f"{unsorted} of {effort.times(1, 5) * at_once} deadlock where rows are written as "
        "they come",
    )
