"""What has to be done to a database now and then: months of telemetry made ahead, and months that are too old dropped whole."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Final

from sqlalchemy import text

from domain.errors import InvalidInput, SchemaOutdated
from domain.moments import require_age, require_zone
from repositories.migrations import partitions
from repositories.migrations.partitions import AHEAD, MOST_PARTITIONS
from repositories.migrations.runner import BASE, DEADLINE, head, require_known
from repositories.migrations.session import migration_session, require_lock

if TYPE_CHECKING:
    from sqlalchemy import Connection
    from sqlalchemy.ext.asyncio import AsyncEngine

    from repositories.migrations.months import Month
    from repositories.migrations.session import MigrationSession

BATCH_SIZE: Final = 10_000
_NOW: Final = text("SELECT now()")


@dataclass(frozen=True, slots=True, kw_only=True)
class Maintenance:
    """What was done: partitions made and dropped by name, rows moved out of the default partition and deleted from it.

    `dropped_rows` is the server's estimate of what was in the dropped partitions: counting them would take longer than dropping
    them. `left` says how many months the default partition holds that were not given a partition of their own, because there are
    many.
    """

    made: tuple[str, ...] = ()
    moved: int = 0
    dropped: tuple[str, ...] = ()
    dropped_rows: int = 0
    deleted: int = 0
    left: int = 0


async def maintain(
    engine: AsyncEngine, *, ahead: int = AHEAD, keep: timedelta | None = None, deadline: timedelta = DEADLINE
) -> Maintenance:
    """Drop what is too old, and make partitions for this month, the next `ahead`, and each month that the default one holds.

    Too old is what belongs to a month that ended as long ago as `keep`, by the server's clock; nothing where it is None. Each step
    is one transaction: a failure leaves those before it done, and the next call goes on from there. Callers at the same time, and
    those that migrate, go one by one.

    Raises:
        InvalidInput: `ahead` is not between 0 and `MOST_PARTITIONS`, or `keep` is no age.
        SchemaOutdated: the database is not at this version's revision.
        MigrationFailed: a lock was not to be had or rows were not moved until the deadline, or the server refused; it says which.
        DatabaseFailure: no connection.
    """
    if not 0 <= ahead <= MOST_PARTITIONS:
        raise InvalidInput(f"ahead must be between 0 and {MOST_PARTITIONS}", field="ahead")
    age = None if keep is None else require_age(keep, "keep")
    until = time.monotonic() + deadline.total_seconds()
    async with migration_session(engine, deadline) as session:
        now = await session.run(_begin, doing="looking at the database")
        dropped = Maintenance() if age is None else await _drop(session, now - age)
        months, left = await session.run(partial(_missing, ahead), doing="looking at the partitions")
        moved = 0
        for month in months:
            moved += await session.run(partial(_make, month, until), doing=f"making the partition of {month}")
    return replace(dropped, made=tuple(map(str, months)), moved=moved, left=left)


async def drop_before(engine: AsyncEngine, moment: datetime, *, deadline: timedelta = DEADLINE) -> Maintenance:
    """Drop what belongs to months that ended by `moment`, of every tenant: partitions whole, rows of the default one in batches.

    Raises:
        InvalidInput: `moment` has no time zone.
        SchemaOutdated, MigrationFailed, DatabaseFailure: as in `maintain`.
    """
    require_zone(moment, "moment")
    async with migration_session(engine, deadline) as session:
        await session.run(_begin, doing="looking at the database")
        return await _drop(session, moment)


async def _drop(session: MigrationSession, moment: datetime) -> Maintenance:
    found = await session.run(partitions.partitions, doing="looking at the partitions")
    old = [one for one in found if one.is_before(moment)]
    for one in old:
        await session.run(partial(partitions.drop_partition, partition=one), doing=f"dropping {one.name}")
    deleted, batch = 0, BATCH_SIZE
    while batch == BATCH_SIZE:
        delete = partial(partitions.delete_before, moment=moment, size=BATCH_SIZE)
        batch = await session.run(delete, doing="deleting from the default partition")
        deleted += batch
    return Maintenance(dropped=tuple(one.name for one in old), dropped_rows=sum(one.rows for one in old), deleted=deleted)


def _begin(connection: Connection) -> datetime:
    found, expected = require_known(connection), head()
    if found != expected:
        raise SchemaOutdated(current=None if found == BASE else found, expected=expected)
    require_lock(connection)
    now: datetime = connection.execute(_NOW).scalar_one()
    return now


def _missing(ahead: int, connection: Connection) -> tuple[list[Month], int]:
    found = partitions.partitions(connection)
    soon = partitions.missing_ahead(connection, found, ahead=ahead)
    held = [month for month in partitions.missing_behind(connection, found) if month not in soon]
    room = max(0, MOST_PARTITIONS - len(found) - len(soon))
    return [*soon, *held[:room]], len(held[room:])


def _make(month: Month, until: float, connection: Connection) -> int:
    return partitions.make_month(connection, month, until=until)
