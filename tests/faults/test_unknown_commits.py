"""Commits that are lost on their way.

Reported as unknown, answered by the ledger, and resolved by `run`.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import timedelta
from itertools import cycle, islice
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from domain import CommitOutcomeUnknown, LockTimeout, Review, UnitOfWork
from repositories import Database
from tests.faults.conftest import Effort, Promises, on_the_newest
from tests.faults.proxy import Judge, Proxy, Verdict, at_commit, let_pass

if TYPE_CHECKING:
    from pydantic import SecretStr

pytestmark = on_the_newest

REQUEST_LOST = at_commit(Verdict.CUT_BEFORE)
REPLY_LOST = at_commit(Verdict.PASS, reply=Verdict.CUT_BEFORE)
LATE = at_commit(Verdict.DELAY)


async def reviews_of(database: Database, number: int) -> int:
    """Return how many rows of that number there really are."""
    async with database.engine.connect() as connection:
        counted = text("SELECT count(*) FROM reviews WHERE pr_number = :number").bindparams(
            number=number
        )
        return int((await connection.execute(counted)).scalar_one())


async def in_the_ledger(database: Database, operation: UUID) -> bool:
    """Read the ledger as it is, without waiting for anybody."""
    async with database.engine.connect() as connection:
        found = text(
            "SELECT count(*) FROM committed_operations WHERE operation_id = :id"
        ).bindparams(id=operation)
        return bool((await connection.execute(found)).scalar_one())


async def test_a_lost_commit_is_unknown_and_the_ledger_tells_what_became_of_it(
    database: Database, database_url: SecretStr, effort: Effort, promises: Promises
) -> None:
    proxy, right, early = Proxy(database_url), Counter[bool](), 0
    times = effort.times(10, 200)
    async with proxy.database() as behind:
        for number, judge in enumerate(
            islice(cycle((REQUEST_LOST, REPLY_LOST, LATE)), times), start=1
        ):
            proxy.delayed.clear()
            operation = uuid4()
            with pytest.raises(CommitOutcomeUnknown) as caught:
                async with behind.unit_of_work(operation_id=operation) as uow:
                    uow.reviews.add(Review(repo="acme/api", pr_number=number))
                    await uow.flush()
                    proxy.judge = judge
                    await uow.commit()
            proxy.judge = let_pass
            assert caught.value.operation_id == operation
            early += judge is LATE and not await in_the_ledger(database, operation)
            answering = asyncio.create_task(database.outcome(operation))
            if judge is LATE:
                with pytest.raises(LockTimeout):
                    await database.outcome(operation, wait_for=timedelta(milliseconds=5))
                proxy.delayed.set()
            answer = await answering
            right[
                answer is bool(await reviews_of(database, number))
                and answer is (judge is not REQUEST_LOST)
            ] += 1
    assert right == {True: times}
    assert early == times // 3
    promises(
        "An unknown commit is reported as unknown, and can be resolved",
        f"{times} of {times} reported, {right[True]} of {times} answered rightly: the request lost, the reply lost, or late",
        control=f"reading the ledger without waiting is wrong for {early} of {times // 3} that were late",
    )


@pytest.mark.parametrize("lost", [REQUEST_LOST, REPLY_LOST], ids=["the request", "the reply"])
async def test_run_with_an_operation_id_keeps_lost_commits_exactly_once(
    database: Database, database_url: SecretStr, lost: Judge
) -> None:
    proxy, attempts = Proxy(database_url), 0

    async def work(uow: UnitOfWork) -> str:
        nonlocal attempts
        attempts += 1
        uow.reviews.add(Review(repo="acme/api", pr_number=7))
        await uow.flush()
        proxy.judge = lost if attempts == 1 else let_pass
        return f"attempt {attempts}"

    async with proxy.database() as behind:
        # The ledger is asked by the same way, which is open again by then.
        asked = asyncio.create_task(behind.run(work, operation_id=(operation := uuid4())))
        while not asked.done():
            await asyncio.sleep(0.005)
            if any(message.is_commit for message in proxy.seen):
                proxy.judge = let_pass
        assert await asked == ("attempt 1" if lost is REPLY_LOST else "attempt 2")
    assert await reviews_of(database, 7) == 1
    assert await database.outcome(operation)


async def test_run_without_an_operation_id_repeats_no_lost_commit(
    database: Database, database_url: SecretStr
) -> None:
    proxy, attempts = Proxy(database_url), 0

    async def work(uow: UnitOfWork) -> None:
        nonlocal attempts
        attempts += 1
        uow.reviews.add(Review(repo="acme/api", pr_number=7))
        proxy.judge = REPLY_LOST

    async with proxy.database() as behind:
        with pytest.raises(CommitOutcomeUnknown):
            await behind.run(work)
    assert attempts == 1
    assert await reviews_of(database, 7) == 1
