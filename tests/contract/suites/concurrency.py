"""Many callers at once.

Exactly one caller wins, no count is lost, and no caller waits for ever.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Final, TypeVar
from uuid import UUID, uuid4

import pytest

from domain import ClaimOutcome, RunClaim, RunStatus, UnitOfWork, run_key
from tests.contract.suites.kinds import write
from tests.contract.suites.runs import HOUR, ago, change, claim, claimed, completed, stored_run
from tests.contract.suites.samples import (
    MOMENT,
    REPO,
    author,
    bump,
    checkpoint,
    chunk,
    event,
    finding,
    memory,
    pattern,
    rate_limit,
    reaction,
    resilience,
    retrieval_quality,
    review,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from datetime import datetime

    from domain import Finding
    from tests.contract.suites.store import Store

T = TypeVar("T")

CALLERS: Final = 16
PATIENCE: Final = 60
"""Seconds until callers that wait for each other are given up."""

one_key_or_many = pytest.mark.parametrize(
    "heads",
    [["one"] * CALLERS, [f"head-{n}" for n in range(CALLERS)]],
    ids=["one key", "different heads"],
)


async def at_once(store: Store, *works: Callable[[UnitOfWork], Awaitable[T]]) -> list[T]:
    """Run each function in its own task and unit of work, after all units have begun."""
    barrier = asyncio.Barrier(len(works))

    async def alone(work: Callable[[UnitOfWork], Awaitable[T]]) -> T:
        async with store.unit_of_work() as uow:
            await barrier.wait()
            result = await work(uow)
            await uow.commit()
            return result

    async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
        tasks = [group.create_task(alone(work)) for work in works]
    return [task.result() for task in tasks]


async def _winners(store: Store, heads: Sequence[str], pr_number: int) -> tuple[ClaimOutcome, ...]:
    """Claim all heads at once and return the outcomes of those that were granted."""

    def claiming(head: str) -> Callable[[UnitOfWork], Awaitable[RunClaim]]:
        return lambda uow: claim(uow, head, pr_number=pr_number)

    return tuple(
        answer.outcome for answer in await at_once(store, *map(claiming, heads)) if answer.claimed
    )


class ConcurrentClaimsContract:
    """Exactly one of any number of concurrent callers claims a pull request."""

    rounds: int = 25

    @one_key_or_many
    async def test_exactly_one_of_sixteen_wins_every_time(
        self, store: Store, heads: Sequence[str]
    ) -> None:
        outcomes = Counter(
            [await _winners(store, heads, number) for number in range(1, self.rounds + 1)]
        )
        assert outcomes == {(ClaimOutcome.NEW,): self.rounds}

    @one_key_or_many
    async def test_exactly_one_of_sixteen_gets_what_another_left_behind(
        self, store: Store, heads: Sequence[str]
    ) -> None:
        winner = (
            ClaimOutcome.STALE_PENDING if len(set(heads)) == 1 else ClaimOutcome.SUPERSEDED_PRIOR
        )
        for number in range(1, 11):
            left = await claimed(store, "one", pr_number=number)
            await change(store, left.run_key, claimed_at=ago(2 * HOUR))
            assert await _winners(store, heads, number) == (winner,)

    async def test_whoever_waited_for_a_claim_that_was_committed_has_lost(
        self, store: Store
    ) -> None:
        async with store.unit_of_work() as first:
            await claim(first, "one")
            waiting = await _begun(store, lambda uow: claim(uow, "two"))
            await first.commit()
        assert (await waiting).outcome is ClaimOutcome.DUPLICATE

    async def test_whoever_waited_for_a_claim_that_was_discarded_has_won(
        self, store: Store
    ) -> None:
        async with store.unit_of_work() as first:
            await claim(first, "one")
            waiting = await _begun(store, lambda uow: claim(uow, "two"))
        assert (await waiting).outcome is ClaimOutcome.NEW

    async def test_whoever_lost_to_another_head_may_claim_again(self, store: Store) -> None:
        async with store.unit_of_work() as late:
            early = await claimed(store, "one")
            assert (await claim(late, "two")).outcome is ClaimOutcome.DUPLICATE
            await late.commit()
        assert (await claimed(store, "two")).superseded == (early.run_key,)

    async def test_a_run_that_is_completed_meanwhile_is_not_in_the_way(self, store: Store) -> None:
        under_way = await claimed(store, "one")
        async with store.unit_of_work() as other:
            assert (
                await other.runs.complete(under_way.run_key, under_way.attempt)
                is RunStatus.COMPLETED
            )
            waiting = await _begun(store, lambda uow: claim(uow, "two"))
            await other.commit()
        answer = await waiting
        assert (answer.run_key, answer.outcome, answer.superseded) == (
            run_key(REPO, 7, "base", "two"),
            ClaimOutcome.NEW,
            (),
        )
        assert (await stored_run(store, under_way.run_key)).status is RunStatus.COMPLETED

    async def test_completing_a_run_that_is_superseded_meanwhile_tells_so(
        self, store: Store
    ) -> None:
        under_way = await claimed(store, "one")
        async with store.unit_of_work() as other:
            await claim(other, "two")
            waiting = await _begun(
                store, lambda uow: uow.runs.complete(under_way.run_key, under_way.attempt)
            )
            await other.commit()
        assert await waiting is RunStatus.SUPERSEDED

    async def test_concurrent_completions_and_claims_of_another_head_all_report_their_outcome(
        self, store: Store
    ) -> None:
        for number in range(1, 11):
            first = await claimed(store, "one", pr_number=number)
            status, answer = await asyncio.gather(
                completed(store, first), claimed(store, "two", pr_number=number)
            )
            row = await stored_run(store, first.run_key)
            assert row.status is status
            assert answer.claimed
            assert answer.superseded == (() if status is RunStatus.COMPLETED else (first.run_key,))


async def _begun(store: Store, work: Callable[[UnitOfWork], Awaitable[T]]) -> asyncio.Task[T]:
    """Return a task whose unit of work has begun and has had time to wait for another one."""
    entered = asyncio.Event()

    async def alone() -> T:
        async with store.unit_of_work() as uow:
            entered.set()
            result = await work(uow)
            await uow.commit()
            return result

    task = asyncio.create_task(alone())
    await entered.wait()
    await asyncio.sleep(0.05)
    return task


class ConcurrentWritesContract:
    """Writes of which the first one wins tell exactly one caller so; upserts leave one row.

    Counters add up.
    """

    rounds: int = 5

    async def test_exactly_one_of_sixteen_callers_writes(self, store: Store) -> None:
        of = review()
        to = finding(of)
        await write(store, of, to)
        for number in range(1, self.rounds + 1):
            for first_wins in _first_wins(to, number, UUID(int=number)):
                assert sum(await at_once(store, *[first_wins] * CALLERS)) == 1

    async def test_a_waiting_caller_learns_whether_the_first_one_committed(
        self, store: Store
    ) -> None:
        for commits in (True, False):
            async with store.unit_of_work() as first:
                assert await first.dependency_bumps.record(bump(pr_number=1 + commits))
                waiting = await _begun(store, _recording(1 + commits))
                if commits:
                    await first.commit()
            assert await waiting is not commits

    async def test_counts_of_sixteen_callers_add_up_and_each_sum_is_returned_once(
        self, store: Store
    ) -> None:
        for _ in range(self.rounds):
            sums = await at_once(store, *[_counting(uuid4().hex)] * CALLERS)
            assert sorted(sums) == list(range(2, 2 * CALLERS + 2, 2))

    async def test_sixteen_upserts_of_one_key_leave_one_row(self, store: Store) -> None:
        upserts: Sequence[Callable[[UnitOfWork], Awaitable[object]]] = (
            lambda uow: uow.authors.upsert(author("ada")),
            lambda uow: uow.checkpoints.save(checkpoint("out")),
            lambda uow: uow.telemetry.record_resilience(resilience("d")),
            lambda uow: uow.knowledge.upsert_many([chunk("a")]),
        )
        for upsert in upserts:
            await at_once(store, *[upsert] * CALLERS)
        async with store.reader() as view:
            repositories = (
                view.authors,
                view.checkpoints,
                view.telemetry.resilience,
                view.knowledge,
            )
            assert [await repository.count() for repository in repositories] == [1, 1, 1, 1]

    async def test_of_many_who_purge_together_each_row_is_deleted_by_one(
        self, store: Store
    ) -> None:
        await write(store, *(event(created_at=MOMENT) for _ in range(100)))
        purged = await at_once(
            store, *[lambda uow: uow.telemetry.purge(older_than=HOUR, batch_size=9)] * 4
        )
        assert sum(purged) == 100

    async def test_writers_of_the_same_rows_in_opposite_order_do_not_wait_for_each_other(
        self, store: Store
    ) -> None:
        of = review()
        to = finding(of)
        await write(store, of, to)
        findings = [uuid4() for _ in range(300)]

        def moment(n: int, numbers: range) -> datetime | None:
            # An adapter may be tempted to write rows with and without a moment of their own apart.
            return MOMENT if (n + numbers.start) % 3 else None

        def reactions(numbers: range) -> Callable[[UnitOfWork], Awaitable[int]]:
            return lambda uow: uow.reactions.add_many(
                [reaction(to, reaction_id=n) for n in numbers]
            )

        def memories(numbers: range) -> Callable[[UnitOfWork], Awaitable[int]]:
            rows = [memory(finding_id=findings[n], created_at=moment(n, numbers)) for n in numbers]
            return lambda uow: uow.memories.write_many(rows)

        def chunks(numbers: range) -> Callable[[UnitOfWork], Awaitable[int]]:
            rows = [chunk(f"{n}", created_at=moment(n, numbers)) for n in numbers]
            return lambda uow: uow.knowledge.upsert_many(rows)

        upwards, downwards = range(300), range(299, -1, -1)
        for write_all, total in ((reactions, 300), (memories, 300), (chunks, 1_200)):
            written = await at_once(
                store, *(write_all(numbers) for numbers in (upwards, downwards) * 2)
            )
            assert sum(written) == total


def _first_wins(
    to: Finding, number: int, key: UUID
) -> Sequence[Callable[[UnitOfWork], Awaitable[bool | int]]]:
    return (
        lambda uow: uow.reactions.add_many([reaction(to, reaction_id=number)]),
        lambda uow: uow.memories.write(memory(finding_id=key)),
        lambda uow: uow.memories.write_many([memory(finding_id=key, repo="acme/web")]),
        _recording(number),
        lambda uow: uow.telemetry.record_rate_limit(rate_limit(delivery_id=f"{number}")),
        lambda uow: uow.telemetry.record_retrieval_quality(
            retrieval_quality(delivery_id=f"{number}")
        ),
    )


def _recording(pr_number: int) -> Callable[[UnitOfWork], Awaitable[bool]]:
    return lambda uow: uow.dependency_bumps.record(bump(pr_number=pr_number))


def _counting(fingerprint: str) -> Callable[[UnitOfWork], Awaitable[int]]:
    async def count(uow: UnitOfWork) -> int:
        return (await uow.patterns.record(pattern(fingerprint, count=2))).count

    return count
