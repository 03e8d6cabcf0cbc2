"""Periodic maintenance: create and drop partitions of telemetry, purge committed operations."""

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
from domain.values.shown import shown
from domain.values.timestamps import require_age, require_zone
from repositories.migrations import partitions as month_partitions
from repositories.migrations.months import Month
from repositories.migrations.partitions import AHEAD, Span
from repositories.migrations.row_level_security import (
    bypass_row_level_security,
    create_policies_if_enabled,
)
from repositories.migrations.runner import BASE, head, require_known
from repositories.migrations.session import DEADLINE, migration_session, require_lock
from repositories.operations import partitions, vector_indexes
from repositories.operations.partitions import MOST_PARTITIONS
from repositories.operations.tenants import index_large_tenants
from repositories.postgres.errors import translating
from repositories.sql.committed_operations import DELETE_OLD, NEXT_TENANT

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection
    from sqlalchemy.ext.asyncio import AsyncEngine

    from repositories.migrations.options import SchemaOptions

T = TypeVar("T")


class Step(Protocol):
    """Runs work in a transaction of its own, and returns its result after the commit."""

    async def __call__(self, work: Callable[[Connection], T], *, doing: str) -> T: ...


BATCH_SIZE: Final = 10_000
LEAST_AGE_OF_OPERATIONS: Final = timedelta(hours=1)
"""The outcome of younger operations may still be asked for, and purged ones look uncommitted."""

_NOW: Final = text("SELECT now()")


@dataclass(frozen=True, slots=True, kw_only=True)
class Maintenance:
    """The work of one maintenance.

    Attributes:
        created: the months whose partitions were created.
        moved: the rows moved from the default partition to these.
        dropped: the names of the dropped partitions.
        dropped_rows: the server's estimate of the rows in them. Counting would take longer than
            dropping.
        deleted: the rows deleted from the default partition.
        postponed: the number of months in the default partition that got no partition of their own,
            because there are too many.
        operations: the deleted rows of `committed_operations`.
        covered: the tables that got the policy of row-level security, such as new tables of own
            entities; empty if row-level security is not enabled.
        indexed: the names of the HNSW indexes that large tenants got.
        rebuilt: the names of the vector indexes that had lost recall.
    """

    created: tuple[str, ...] = ()
    moved: int = 0
    dropped: tuple[str, ...] = ()
    dropped_rows: int = 0
    deleted: int = 0
    postponed: int = 0
    operations: int = 0
    covered: tuple[str, ...] = ()
    indexed: tuple[str, ...] = ()
    rebuilt: tuple[str, ...] = ()


async def maintain(
    engine: AsyncEngine,
    *,
    ahead: int = AHEAD,
    keep: timedelta | None = None,
    keep_operations: timedelta | None = None,
    options: SchemaOptions | None = None,
    ef_search: int | None = None,
    deadline: timedelta = DEADLINE,
) -> Maintenance:
    """Create the missing partitions of telemetry, delete old rows, and rebuild worn indexes.

    A partition is created for this month, for the next `ahead`, and for each month in the default
    partition. If row-level security is enabled, tables without its policy get it, such as those
    that an application's migration created. Each step and each batch of rows is one transaction:
    after a failure the earlier ones stay, and the next call continues from there. A lock lets one
    caller, or one migration, work at a time. At the end, large tenants get an HNSW index of
    their own.

    Args:
        engine: the engine.
        ahead: the number of months after this one that get a partition.
        keep: drop months that ended at least this long ago, by the server's clock; None drops none.
        keep_operations: purge committed operations that are older; None purges none.
        options: the parameters of the HNSW indexes, by default those of the database.
        ef_search: number of candidates with which the recall of the vector indexes is measured, to
            rebuild those that lost recall; None measures and rebuilds nothing.
        deadline: how long to wait for locks, and to move rows.

    Raises:
        InvalidInput: `ahead` is not between 0 and `MOST_PARTITIONS`, `keep` is not an age, or
            `keep_operations` is less than an hour.
        SchemaOutdated: the database is not at this version's revision.
        MigrationFailed: waiting for a lock or moving rows took longer than the deadline, or the
            server refused a statement; the message says which.
        DatabaseFailure: the connection failed.
    """
    if not 0 <= ahead <= MOST_PARTITIONS:
        raise InvalidInput(
            f"ahead must be between 0 and {MOST_PARTITIONS}, not {shown(ahead)}", field="ahead"
        )
    age = None if keep is None else require_age(keep, "keep")
    if (
        keep_operations is not None
        and require_age(keep_operations, "keep_operations") < LEAST_AGE_OF_OPERATIONS
    ):
        raise InvalidInput(
            "keep_operations must be an hour at least, because younger ones may still be asked for,"
            f" not {shown(keep_operations)}",
            field="keep_operations",
        )
    until = time.monotonic() + deadline.total_seconds()
    async with migration_session(engine, deadline) as session:
        now = await session.run(_begin, doing="looking at the database")
        dropped = Maintenance() if age is None else await _drop(session.run, now - age)
        months, postponed = await session.run(
            partial(_missing, ahead), doing="looking at the partitions"
        )
        moved = 0
        for month in months:
            spans = await session.run(
                partial(month_partitions.spans_of, month=month), doing="looking at the events"
            )
            for span in spans:
                moved += await session.run(
                    partial(_make, span, until), doing=f"creating the partition of {month}"
                )
        operations = (
            0
            if keep_operations is None
            else await _purge_operations(session.run, now - keep_operations)
        )
        covered = await session.run(
            create_policies_if_enabled, doing="covering tables by row-level security"
        )
        indexed = await index_large_tenants(session, options)
        rebuilt = (
            []
            if ef_search is None
            else await vector_indexes.rebuild_worn(session, ef_search=ef_search)
        )
    return replace(
        dropped,
        created=tuple(map(str, months)),
        moved=moved,
        postponed=postponed,
        operations=operations,
        covered=tuple(covered),
        indexed=tuple(indexed),
        rebuilt=tuple(rebuilt),
    )


async def drop_before(
    engine: AsyncEngine, moment: datetime, *, deadline: timedelta = DEADLINE
) -> Maintenance:
    """Delete every tenant's telemetry of the months that ended before or at `moment`.

    Partitions are dropped, each in a transaction of its own, and rows of the default partition are
    deleted in batches. While a drop waits for a lock, writers wait behind it, for half a second at
    most; then it is tried again until the deadline.

    Raises:
        InvalidInput: `moment` has no time zone.
        LockTimeout: waiting for a lock took longer than the deadline; earlier partitions stay
            dropped.
        DatabaseFailure: the connection failed, or the role does not own the table.
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
        del doing  # the domain error names the cause
        return await retrying(run, work)

    return await _drop(step, moment)


async def _drop(run: Step, moment: datetime) -> Maintenance:
    existing = await run(month_partitions.partitions, doing="looking at the partitions")
    # Parts of a month end before it does.
    old = [one for one in existing if one.is_before(Month.of(moment).begins)]
    for one in old:
        await run(partial(partitions.drop_partition, partition=one), doing=f"dropping {one.name}")
    default, deleted = month_partitions.default_of(existing), 0
    if default is not None:
        delete = partial(partitions.delete_before, default=default, moment=moment)
        deleted = await _in_batches(run, delete, doing="deleting from the default partition")
    return Maintenance(
        dropped=tuple(one.name for one in old),
        dropped_rows=sum(one.rows for one in old),
        deleted=deleted,
    )


async def _purge_operations(run: Step, moment: datetime) -> int:
    return await _in_batches(
        run, partial(_delete_operations, moment=moment), doing="purging committed operations"
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
        deleted, tenant = 0, ""
        while deleted < size:
            tenant = connection.scalar(NEXT_TENANT, {"after": tenant})
            if tenant is None:
                break
            values = {"tenant": tenant, "before": moment, "size": size - deleted}
            deleted += connection.execute(DELETE_OLD, values).rowcount
        return deleted


def _begin(connection: Connection) -> datetime:
    revision, expected = require_known(connection), head()
    if revision != expected:
        raise SchemaOutdated(current=None if revision == BASE else revision, expected=expected)
    require_lock(connection)
    now: datetime = connection.execute(_NOW).scalar_one()
    return now


def _missing(ahead: int, connection: Connection) -> tuple[list[Month], int]:
    existing = month_partitions.partitions(connection)
    soon = month_partitions.missing_ahead(connection, existing, ahead=ahead)
    behind = partitions.missing_behind(connection, existing)
    others = [month for month in behind if month not in soon]
    room = max(0, MOST_PARTITIONS - len(existing) - len(soon))
    return [*soon, *others[:room]], len(others[room:])


def _make(span: Span, until: float, connection: Connection) -> int:
    return month_partitions.create_partition(connection, span, until=until)
