"""Commits whose request or reply is lost: reported as unknown, looked up, and resolved by `run`."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import suppress
from datetime import timedelta
from functools import partial
from itertools import cycle, islice
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from domain import (
    AlreadyCommitted,
    CommitOutcomeUnknown,
    Conflict,
    LockTimeout,
    Review,
    UnitOfWork,
    where,
)
from repositories import Database
from tests.faults.conftest import Effort, Promises, on_the_newest
from tests.faults.proxy import Judge, Message, Proxy, Verdict, at_commit, let_pass

if TYPE_CHECKING:
    from pydantic import SecretStr

pytestmark = on_the_newest

REQUEST_LOST = at_commit(Verdict.CUT_BEFORE)
REPLY_LOST = at_commit(Verdict.PASS, reply=Verdict.CUT_BEFORE)
LATE = at_commit(Verdict.DELAY)


async def reviews_of(database: Database, number: int) -> int:
    """Return how many reviews with this number the database has."""
    async with database.engine.connect() as connection:
        counted = text("SELECT count(*) FROM reviews WHERE pr_number = :number").bindparams(
            number=number
        )
        return int((await connection.execute(counted)).scalar_one())


async def has_row(database: Database, operation: UUID) -> bool:
    """Return whether the operation has a row now, without waiting for open transactions."""
    async with database.engine.connect() as connection:
        counted = text(
            "SELECT count(*) FROM committed_operations WHERE operation_id = :id"
        ).bindparams(id=operation)
        return bool((await connection.execute(counted)).scalar_one())


async def test_a_lost_commit_is_unknown_and_its_outcome_can_be_looked_up(
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
            early += judge is LATE and not await has_row(database, operation)
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
        f"{times} of {times} reported, {right[True]} of {times} answered correctly:"
        " the request lost, the reply lost, or late",
        control=f"reading committed_operations without waiting is wrong for {early} of"
        f" {times // 3} that were late",
    )


def lose_first_commit(proxy: Proxy, lost: Judge) -> Judge:
    """Return a judge that loses the first COMMIT and lets everything after it pass."""

    def judge(message: Message) -> Verdict:
        verdict = lost(message)
        if verdict is Verdict.CUT_BEFORE:
            proxy.judge = let_pass
        return verdict

    return judge


@pytest.mark.parametrize("lost", [REQUEST_LOST, REPLY_LOST], ids=["the request", "the reply"])
async def test_run_with_an_operation_id_commits_exactly_once_if_a_commit_is_lost(
    database: Database, database_url: SecretStr, lost: Judge
) -> None:
    proxy, attempts = Proxy(database_url), 0

    async def work(uow: UnitOfWork) -> str:
        nonlocal attempts
        attempts += 1
        uow.reviews.add(Review(repo="acme/api", pr_number=7))
        await uow.flush()
        if attempts == 1:
            proxy.judge = lose_first_commit(proxy, lost)
        return f"attempt {attempts}"

    async with proxy.database() as behind:
        result = await behind.run(work, operation_id=(operation := uuid4()))
    assert result == ("attempt 1" if lost is REPLY_LOST else "attempt 2")
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
        await uow.flush()
        proxy.judge = REPLY_LOST

    async with proxy.database() as behind:
        with pytest.raises(CommitOutcomeUnknown):
            await behind.run(work)
    assert attempts == 1
    assert await reviews_of(database, 7) == 1


@pytest.mark.parametrize("lost", ["the request", "the reply"])
async def test_run_does_not_repeat_a_lost_insert_that_commits_itself(
    database: Database, database_url: SecretStr, lost: str
) -> None:
    proxy, attempts = Proxy(database_url), 0

    def lose_insert(message: Message) -> Verdict:
        is_insert = message.kind == "B" if message.of_client else message.body.startswith(b"SELECT")
        is_lost = is_insert and message.of_client is (lost == "the request")
        return Verdict.CUT_BEFORE if is_lost else Verdict.PASS

    async def work(uow: UnitOfWork) -> None:
        nonlocal attempts
        attempts += 1
        uow.reviews.add(Review(repo="acme/api", pr_number=7))
        proxy.judge = lose_insert

    async with proxy.database() as behind:
        with pytest.raises(CommitOutcomeUnknown):
            await behind.run(work)
    assert attempts == 1
    assert await reviews_of(database, 7) == (lost == "the reply")


class CutFromCommitOn:
    """Cuts the connection at COMMIT, and every connection after that."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()

    def __call__(self, message: Message) -> Verdict:
        if message.of_client and message.is_commit:
            self.reached.set()
        return Verdict.CUT_BEFORE if self.reached.is_set() else Verdict.PASS


async def add_review(uow: UnitOfWork, id: UUID, number: int) -> UUID:
    uow.reviews.add(Review(id=id, repo="acme/api", pr_number=number))
    await uow.flush()
    return id


async def test_run_never_returns_a_result_that_was_rolled_back(
    database: Database, database_url: SecretStr, effort: Effort, promises: Promises
) -> None:
    proxy, times = Proxy(database_url), effort.times(4, 60)
    rolled_back = 0
    async with proxy.database(pool_size=2) as behind:
        for number in range(1, times + 1):
            operation, own_id, others_id = uuid4(), uuid4(), uuid4()
            cut = CutFromCommitOn()

            async def work(
                uow: UnitOfWork, id: UUID = own_id, number: int = number, judge: Judge = cut
            ) -> UUID:
                await add_review(uow, id, number)
                proxy.judge = judge
                return id

            running = asyncio.create_task(behind.run(work, operation_id=operation))
            await asyncio.wait_for(cut.reached.wait(), 30)
            # The first attempt is rolled back, and nothing can look it up until another process
            # has committed the same operation.
            other = await database.run(
                partial(add_review, id=others_id, number=number), operation_id=operation
            )
            proxy.judge = let_pass
            with pytest.raises(AlreadyCommitted) as refusal:
                await running
            assert refusal.value.operation_id == operation
            assert other == others_id
            async with database.reader() as view:
                stored = [
                    one.id for one in await view.reviews.list(where("pr_number").equals(number))
                ]
            assert stored == [others_id], "the database has only the acknowledged row"
            rolled_back += own_id not in stored
    promises(
        "An unknown commit is reported as unknown, and can be resolved",
        f"0 of {times} results of a rolled-back attempt are returned if another process commits"
        " the same operation",
        control=f"{rolled_back} of {times} would be, if any row of the operation counted",
    )


@pytest.mark.parametrize("lost", [REQUEST_LOST, REPLY_LOST], ids=["the request", "the reply"])
@pytest.mark.parametrize("swallows", [False, True], ids=["raises", "swallows"])
async def test_the_outcome_of_a_commit_inside_work_is_looked_up(
    database: Database, database_url: SecretStr, lost: Judge, swallows: bool
) -> None:
    proxy, attempts, operation = Proxy(database_url), 0, uuid4()

    async def work(uow: UnitOfWork) -> int:
        nonlocal attempts
        attempts += 1
        uow.reviews.add(Review(repo="acme/api", pr_number=7))
        await uow.flush()
        if attempts == 1:
            proxy.judge = lose_first_commit(proxy, lost)
        with suppress(*([CommitOutcomeUnknown] if swallows else [])):
            await uow.commit()
        return attempts

    async with proxy.database() as behind:
        if lost is REQUEST_LOST:
            assert await behind.run(work, operation_id=operation) == 2
        elif swallows:
            assert await behind.run(work, operation_id=operation) == 1
        else:
            with pytest.raises(AlreadyCommitted):
                await behind.run(work, operation_id=operation)
    assert await reviews_of(database, 7) == 1
    assert await database.outcome(operation)


async def test_a_commit_inside_work_with_an_unknown_outcome_is_not_repeated(
    database: Database, database_url: SecretStr, promises: Promises
) -> None:
    proxy, attempts = Proxy(database_url), 0

    async def work(uow: UnitOfWork) -> None:
        nonlocal attempts
        attempts += 1
        uow.reviews.add(Review(repo="acme/api", pr_number=7))
        proxy.judge = lose_first_commit(proxy, REPLY_LOST)
        with suppress(CommitOutcomeUnknown):
            await uow.commit()
        raise Conflict("a second unit of work failed")

    async with proxy.database() as behind:
        with pytest.raises(Conflict) as failure:
            await behind.run(work)
    assert not failure.value.safe_to_retry
    assert attempts == 1
    assert await reviews_of(database, 7) == 1
    for _ in range(3):
        with suppress(Conflict):
            async with database.unit_of_work() as uow:
                uow.reviews.add(Review(repo="acme/api", pr_number=8))
                await uow.commit()
                raise Conflict("a second unit of work failed")
    written = await reviews_of(database, 8)
    assert written == 3
    promises(
        "An unknown commit is reported as unknown, and can be resolved",
        f"{attempts} attempt of a unit of work that committed by itself before it failed",
        control=f"a loop that retries conflicts three times writes {written} rows",
    )
