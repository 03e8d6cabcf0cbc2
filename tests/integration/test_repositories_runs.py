"""Claims of runs on PostgreSQL when most callers wait for a connection.

The server's clock decides which runs are concurrent.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence

import pytest

from domain import ClaimOutcome, RunClaim
from repositories import Database

CALLERS = 16


async def claimed(database: Database, head: str, pr_number: int) -> RunClaim:
    async with database.unit_of_work() as uow:
        answer = await uow.runs.claim(
            "acme/api",
            pr_number,
            base_sha="base",
            head_sha=head,
            delivery_id="delivery",
            action="opened",
        )
        await uow.commit()
        return answer


@pytest.mark.parametrize(
    "heads",
    [["one"] * CALLERS, [f"head-{n}" for n in range(CALLERS)]],
    ids=["one key", "different heads"],
)
async def test_exactly_one_of_sixteen_wins_also_if_most_wait_for_a_connection(
    database: Database, heads: Sequence[str]
) -> None:
    outcomes: Counter[tuple[ClaimOutcome, ...]] = Counter()
    async with Database(
        database.settings.model_copy(update={"pool_size": 3, "max_overflow": 0})
    ) as pooled:
        for pr_number in range(1, 21):
            answers = await asyncio.gather(*(claimed(pooled, head, pr_number) for head in heads))
            outcomes[tuple(answer.outcome for answer in answers if answer.claimed)] += 1
    assert outcomes == {(ClaimOutcome.NEW,): 20}
