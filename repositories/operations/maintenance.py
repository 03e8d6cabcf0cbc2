"""What has to be done to a database now and then.

Months of telemetry made ahead, old ones dropped whole, the ledger purged.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

from sqlalchemy import text
from tenacity import (
    AsyncRetrying,
    retry_if_exception_type,
    stop_after_delay,
    wait_random_exponential,
)

from domain.errors import InvalidInput, LockTimeout, SchemaOutdated
from domain.values.timestamps import require_age, require_zone
from repositories.migrations import partitions as month_partitions
from repositories.migrations.partitions import AHEAD
from repositories.migrations.row_level_security import bypass_row_level_security
from repositories.migrations.runner import BASE, head, require_known
from repositories.migrations.session import DEADLINE, migration_session, require_lock
from repositories.operations import partitions
from repositories.operations.partitions import MOST_PARTITIONS
from repositories.postgres.errors import translating
from repositories.sql.committed_operations import DELETE_OLD

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection
    from sqlalchemy.ext.asyncio import AsyncEngine

    from repositories.migrations.months import Month

T = TypeVar("T")


class Step(Protocol):
    """Runs work in a transaction of its own and returns what it returns, once it is committed."""

    async def __call__(self, work: Callable[[Connection], T], *, doing: str) -> T: ...


BATCH_SIZE: Final = 10_000
LEAST_AGE_OF_OPERATIONS: Final = timedelta(hours=1)
"""Of younger units of work the outcome may still be asked for, and the answer would be no."""

_NOW: Final = text("SELECT now()")


@dataclass(frozen=True, slots=True, kw_only=True)
class Maintenance:
    """What was done: partitions made and dropped by name, rows moved out of the default partition
    and deleted from it.

    `dropped_rows` is the server's estimate of what was in the dropped partitions: counting them
    would take longer than dropping them. `left` says how many months the default partition holds
    that were not given a partition of their own, because there are many. `operations` is how many
    rows of the ledger were deleted.
    """

    made: tuple[str, ...] = ()
    moved: int = 0
    dropped: tuple[str, ...] = ()
    dropped_rows: int = 0
    deleted: int = 0
    left: int = 0
    operations: int = 0


async def maintain(
    engine: AsyncEngine,
    *,
    ahead: int = AHEAD,
    keep: timedelta | None = None,
    keep_operations: timedelta | None = None,
    deadline: timedelta = DEADLINE,
) -> Maintenance:
    """Drop what is too old, and make partitions for this month, the next `ahead`, and each month
    that the default one holds.

    Too old is what belongs to a month that ended as long ago as `keep`, by the server's clock;
    nothing where it is None. The ledger is purged of operations older than `keep_operations`, of
    none where that is None. Each step is one transaction, and so is each batch of rows: a failure
    leaves those before it done, and the next call goes on from there. Callers at the same time, and
    those that migrate, go one by one.

    Raises:
        InvalidInput: `ahead` is not between 0 and `MOST_PARTITIONS`, or `keep` is no age, or
            `keep_operations` less than an hour.
        SchemaOutdated: the database is not at this version's revision.
        MigrationFailed: a lock was not to be had or rows were not moved until the deadline, or the
            server refused; it says which.
        DatabaseFailure: no connection.
    """
    if not 0 <= ahead <= MOST_PARTITIONS:
        raise InvalidInput(f"ahead must be between 0 and {MOST_PARTITIONS}", field="ahead")
    age = None if keep is None else require_age(keep, "keep")
    if (
        keep_operations is not None
        and require_age(keep_operations, "keep_operations") < LEAST_AGE_OF_OPERATIONS
    ):
        raise InvalidInput(
            "keep_operations must be an hour at least: younger ones may still be asked for",
            field="keep_operations",
        )
    until = time.monotonic() + deadline.total_seconds()
    async with migration_session(engine, deadline) as session:
        now = await session.run(_begin, doing="looking at the database")
        dropped = Maintenance() if age is None else await _drop(session.run, now - age)
        months, left = await session.run(
            partial(_missing, ahead), doing="looking at the partitions"
        )
        moved = 0
        for month in months:
            moved += await session.run(
                partial(_make, month, until), doing=f"making the partition of {month}"
            )
        operations = (
            0
            if keep_operations is None
            else await _purge_ledger(session.run, now - keep_operations)
        )
    return replace(
        dropped, made=tuple(map(str, months)), moved=moved, left=left, operations=operations
    )


async def drop_before(
    engine: AsyncEngine, moment: datetime, *, deadline: timedelta = DEADLINE
) -> Maintenance:
    """Drop what belongs to months that ended by `moment`, of every tenant: partitions whole, rows
    of the default one in batches.

    Each partition goes in a transaction of its own. While one waits for a lock, writers wait behind
    it, half a second at most; then they have their turn, and it is tried again until the deadline.

    Raises:
        InvalidInput: `moment` has no time zone.
        LockTimeout: a lock was not to be had until the deadline; what was dropped before stays
            dropped.
        DatabaseFailure: no connection, or the role does not own the table.
    """
    require_zone(moment, "moment")
    retrying = AsyncRetrying(
        retry=retry_if_exception_type(LockTimeout),
        stop=stop_after_delay(deadline),
        wait=wait_random_exponential(multiplier=0.1, max=1),
        reraise=True,
    )

    async def run(work: Callable[[Connection], T]) -> T:
        with translating():
            async with engine.begin() as connection:
                return await connection.run_sync(work)

    async def step(work: Callable[[Connection], T], *, doing: str) -> T:
        del doing  # a domain error says what was in the way
        return await retrying(run, work)

    return await _drop(step, moment)


async def _drop(run: Step, moment: datetime) -> Maintenance:
    found = await run(month_partitions.partitions, doing="looking at the partitions")
    old = [one for one in found if one.is_before(moment)]
    for one in old:
        await run(partial(partitions.drop_partition, partition=one), doing=f"dropping {one.name}")
    default, deleted = month_partitions.default_of(found), 0
    if default is not None:
        delete = partial(partitions.delete_before, default=default, moment=moment)
        deleted = await _in_batches(run, delete, doing="deleting from the default partition")
    return Maintenance(
        dropped=tuple(one.name for one in old),
        dropped_rows=sum(one.rows for one in old),
        deleted=deleted,
    )


async def _purge_ledger(run: Step, moment: datetime) -> int:
    return await _in_batches(
        run, partial(_delete_operations, moment=moment), doing="purging the ledger"
    )


async def _in_batches(run: Step, delete: Callable[..., int], *, doing: str) -> int:
    deleted, batch = 0, BATCH_SIZE
    while batch == BATCH_SIZE:
        batch = await run(partial(delete, size=BATCH_SIZE), doing=doing)
        deleted += batch
    return deleted


def _delete_operations(connection: Connection, *, moment: datetime, size: int) -> int:
    month_partitions.wait_briefly(connection)
    with bypass_row_level_security(connection, "committed_operations"):
        return connection.execute(DELETE_OLD, {"before": moment, "size": size}).rowcount


def _begin(connection: Connection) -> datetime:
    found, expected = require_known(connection), head()
    if found != expected:
        raise SchemaOutdated(current=None if found == BASE else found, expected=expected)
    require_lock(connection)
    now: datetime = connection.execute(_NOW).scalar_one()
    return now


def _missing(ahead: int, connection: Connection) -> tuple[list[Month], int]:
    found = month_partitions.partitions(connection)
    soon = month_partitions.missing_ahead(connection, found, ahead=ahead)
    held = [month for month in partitions.missing_behind(connection, found) if month not in soon]
    room = max(0, MOST_PARTITIONS - len(found) - len(soon))
    return [*soon, *held[:room]], len(held[room:])


def _make(month: Month, until: float, connection: Connection) -> int:
    return month_partitions.create_partition(connection, month, until=until)
