"""Maintenance of telemetry's partitions: the rows of the default partition, and old months."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from sqlalchemy import text

from repositories.migrations.months import LAST, Month
from repositories.migrations.partitions import (
    Partition,
    default_of,
    months_without_partition,
    run_statement,
    wait_briefly,
)
from repositories.migrations.row_level_security import bypass_row_level_security

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Connection, TextClause


MOST_PARTITIONS: Final = 120
"""The number of partitions up to which maintenance creates one for a month of the default one.

Every partition that a query cannot prune adds to its planning time.
"""


def missing_behind(connection: Connection, existing: Iterable[Partition]) -> list[Month]:
    """Return the months of the events in the default partition, latest first."""
    default = default_of(existing)
    if default is None:
        return []
    with bypass_row_level_security(connection, default.name):
        rows = connection.execute(_months_in(default)).all()
    return months_without_partition(sorted((Month(*row) for row in rows), reverse=True), existing)


def _months_in(default: Partition) -> TextClause:
    return text(
        "SELECT DISTINCT extract(year FROM month)::int, extract(month FROM month)::int"  # noqa: S608 -- a name from the catalog
        f" FROM (SELECT created_at AT TIME ZONE 'UTC' AS month FROM {default.name}"
        " WHERE created_at >= '0001-01-01 UTC'"
        f" AND created_at < '{LAST.ends.isoformat()}') AS held"
    )


def holds_rows(connection: Connection, partition: Partition) -> bool:
    """Return whether the partition has a row."""
    return bool(connection.scalar(text(f"SELECT EXISTS (SELECT 1 FROM {partition.name})")))  # noqa: S608 -- from the catalog


def drop_partition(connection: Connection, partition: Partition) -> None:
    """Drop a partition with its rows.

    PostgreSQL cannot detach a partition CONCURRENTLY if there is a default partition. So writers
    wait behind the drop, which waits for its lock for `LOCK_TIMEOUT_MS` at most. The lock lasts for
    the change of the catalog; files are deleted after it.
    """
    wait_briefly(connection)
    run_statement(connection, f"DROP TABLE IF EXISTS {partition.name}")


def delete_before(
    connection: Connection, default: Partition, moment: datetime, *, size: int
) -> int:
    """Delete up to `size` rows of the default partition from months that ended by the moment.

    Returns:
        The number of deleted rows.
    """
    key = "tenant, id, created_at"
    old = f"SELECT {key} FROM {default.name} WHERE created_at < :before LIMIT :size"  # noqa: S608 -- a name from the catalog
    deletion = text(f"DELETE FROM {default.name} WHERE ({key}) IN ({old})")  # noqa: S608 -- likewise
    with bypass_row_level_security(connection, default.name):
        return connection.execute(
            deletion, {"before": Month.of(moment).begins, "size": size}
        ).rowcount
