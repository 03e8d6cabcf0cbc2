"""On Citus, every operation sends statements that run on one shard.

It needs `RECOLLECT_CITUS_URL`, and on the node of that URL `citus.enable_stat_counters = on`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from sqlalchemy import text

from repositories import Database
from tests.contract.calls import OPERATIONS, fill
from tests.contract.conftest import CITUS, CITUS_URL, emptied_postgres
from tests.contract.ports import all_operations

COUNTERS = text("""
SELECT coalesce(sum(query_execution_single_shard), 0)::int AS one_shard,
       coalesce(sum(query_execution_multi_shard), 0)::int AS several
FROM citus_stat_counters WHERE oid = (
    SELECT oid FROM pg_database WHERE datname = current_database()
)
""")


@pytest.mark.skipif(not CITUS_URL, reason="RECOLLECT_CITUS_URL names no cluster")
async def test_no_operation_sends_a_statement_to_several_shards(
    lent: Callable[[int], Awaitable[Database]],
) -> None:
    spread: dict[str, int] = {}
    one_shard = 0
    async with emptied_postgres(await lent(CITUS)) as database:
        data = await fill(database, "ours", 2)
        for operation in sorted(all_operations()):
            unit, _, name = operation.partition(".")
            open_unit: Any = database.unit_of_work if unit == "uow" else database.reader
            before = await _counters(database)
            async with open_unit(tenant="ours") as uow:
                await OPERATIONS[name][1](uow, data)
            after = await _counters(database)
            one_shard += after[0] - before[0]
            if after[1] > before[1]:
                spread[operation] = after[1] - before[1]
    assert spread == {}
    assert one_shard > len(OPERATIONS), "the counters of Citus are switched off"


async def _counters(database: Database) -> tuple[int, int]:
    async with database.engine.connect() as connection:
        one_shard, several = (await connection.execute(COUNTERS)).one()
        return one_shard, several
