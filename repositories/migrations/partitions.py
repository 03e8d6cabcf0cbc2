"""The monthly partitions of telemetry: list, create and merge them."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from domain.errors import MigrationFailed
from repositories.migrations.distribution import distribute_with, is_distributed
from repositories.migrations.months import Month
from repositories.migrations.row_level_security import (
    bypass_row_level_security,
    create_policies_if_enabled,
)

if TYPE_CHECKING:
    from sqlalchemy import Connection

EVENTS: Final = "telemetry_events"
AHEAD: Final = 3
"""Partitions that are made for the months after the current one."""

MOST_MOVED: Final = 50_000
"""The rows that one transaction moves from the default partition: about a second."""

LOCK_TIMEOUT_MS: Final = 500
"""How long DDL waits for writers; every later writer waits behind it."""

# A bound is printed and parsed in the same session, so that neither its time zone nor its date
# style matters.
_PARTITIONS: Final = text(r"""
SELECT c.oid::regclass::text AS name, bound = 'DEFAULT' AS is_default,
       substring(bound FROM $$FROM \('([^']+)'\)$$)::timestamptz AS begins,
       substring(bound FROM $$TO \('([^']+)'\)$$)::timestamptz AS ends,
       greatest(c.reltuples, pg_stat_get_live_tuples(c.oid), 0)::bigint AS rows,
       has_table_privilege(c.oid, 'SELECT') AS readable
FROM pg_inherits JOIN pg_class c ON c.oid = inhrelid,
LATERAL pg_get_expr(c.relpartbound, c.oid) AS bound
WHERE inhparent = to_regclass(:table) ORDER BY c.relname
""").bindparams(table=EVENTS)
_COLUMNS: Final = text("""
SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) FROM pg_attribute
WHERE attrelid = to_regclass(:table) AND attnum > 0 AND NOT attisdropped AND attgenerated = ''
""").bindparams(table=EVENTS)
_BORDERS: Final = """
SELECT DISTINCT created_at FROM (
    SELECT created_at, row_number() OVER (ORDER BY created_at) AS number FROM {default}
    WHERE created_at >= :begins AND created_at < :ends
) AS waiting WHERE number % :most = 0 AND created_at > :begins ORDER BY created_at
"""
_NOW: Final = text("SELECT now()")
_LIMITS: Final = text(
    "SELECT set_config('lock_timeout', :lock, true), set_config('statement_timeout', :statement, "
    "true)"
)
_PAUSE: Final = text("SELECT pg_sleep(random() * 0.3)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Partition:
    """A partition, by its name in SQL; `rows` is the server's estimate.

    A bound that is None is open.
    """

    name: str
    is_default: bool
    begins: datetime | None
    ends: datetime | None
    rows: int
    readable: bool

    def overlaps(self, month: Month) -> bool:
        """Return whether the partition's bounds include a part of the month."""
        if self.is_default:
            return False
        return (self.begins is None or self.begins < month.ends) and (
            self.ends is None or month.begins < self.ends
        )

    def is_before(self, moment: datetime) -> bool:
        """Return whether the partition ends at or before the moment."""
        return self.ends is not None and self.ends <= moment


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """The range of a partition to create: a month, or a part of one with fewer rows."""

    name: str
    month: Month
    begins: datetime
    ends: datetime

    @classmethod
    def whole(cls, month: Month) -> Span:
        """Return the range of a whole month."""
        return cls(name=_name_of(month), month=month, begins=month.begins, ends=month.ends)

    @classmethod
    def part(cls, month: Month, begins: datetime, ends: datetime) -> Span:
        """Return a part of a month, named after its beginning."""
        name = f"{_name_of(month)}_{begins.astimezone(UTC):%d%H%M%S%f}"
        return cls(name=name, month=month, begins=begins, ends=ends)


def partitions(connection: Connection) -> list[Partition]:
    """Return the partitions of telemetry, ordered by name; none if the table does not exist."""
    return [Partition(**row) for row in connection.execute(_PARTITIONS).mappings()]


def default_of(existing: Iterable[Partition]) -> Partition | None:
    """Return the default partition, which takes the rows that fit no other."""
    return next((partition for partition in existing if partition.is_default), None)


def missing_ahead(
    connection: Connection, existing: Iterable[Partition], *, ahead: int
) -> list[Month]:
    """Return which of this month and the next `ahead`, by the server's clock, have no partition."""
    this = Month.of(connection.execute(_NOW).scalar_one())
    return months_without_partition([this.plus(number) for number in range(ahead + 1)], existing)


def months_without_partition(months: Iterable[Month], existing: Iterable[Partition]) -> list[Month]:
    """Return the months that no existing partition overlaps, or that are made in part.

    An interruption leaves the parts of a month that were made before it.
    """
    there_are = list(existing)
    return [month for month in months if _is_unfinished(month, there_are)]


def spans_of(connection: Connection, month: Month) -> list[Span]:
    """Return the ranges of a month that need a partition, in the order of time.

    The month is one range if at most `MOST_MOVED` of its rows are in the default partition.
    Otherwise each range has about `MOST_MOVED` rows, which one short transaction can move.
    """
    existing = partitions(connection)
    begins = max((part.ends for part in _parts_of(month, existing) if part.ends), default=None)
    default = default_of(existing)
    borders: Sequence[datetime] = ()
    if default is not None:
        values = {"begins": begins or month.begins, "ends": month.ends, "most": MOST_MOVED}
        with bypass_row_level_security(connection, default.name):
            borders = connection.scalars(text(_BORDERS.format(default=default.name)), values).all()
    if begins is None and not borders:
        return [Span.whole(month)]
    ranges = pairwise([begins or month.begins, *borders, month.ends])
    return [Span.part(month, first, last) for first, last in ranges]


def _is_unfinished(month: Month, existing: Sequence[Partition]) -> bool:
    overlapping = [partition for partition in existing if partition.overlaps(month)]
    parts = _parts_of(month, overlapping)
    return not overlapping or (
        len(parts) == len(overlapping)
        and all(part.ends is not None and part.ends < month.ends for part in parts)
    )


def _parts_of(month: Month, existing: Iterable[Partition]) -> list[Partition]:
    return [part for part in existing if part.name.startswith(f"{_name_of(month)}_")]


def _name_of(month: Month) -> str:
    return f"{EVENTS}_{month.year:04}_{month.number:02}"


def create_partition(connection: Connection, span: Span, *, until: float) -> int:
    """Create the partition of a range, and move the range's rows from the default partition.

    Everything happens in the caller's transaction, so that readers see every row at any time.
    Writers can write while most rows are moved. They wait at the end, while their new rows are
    moved and PostgreSQL checks the default partition.

    Args:
        connection: the connection, in a transaction.
        span: the range.
        until: the time of the monotonic clock at which to give up.

    Returns:
        The number of rows moved.

    Raises:
        MigrationFailed: it took too long.
    """
    name, begins, ends = span.name, span.begins.isoformat(), span.ends.isoformat()
    bounds = f"created_at >= '{begins}' AND created_at < '{ends}'"
    _limit(connection, until)
    # Keeps other changes of partitions out. ANALYZE too locks the table before its partitions.
    run_statement(connection, f"LOCK TABLE ONLY {EVENTS} IN SHARE UPDATE EXCLUSIVE MODE")
    # With the CHECK, PostgreSQL attaches the table without scanning it.
    run_statement(
        connection,
        f"CREATE TABLE {name} (LIKE {EVENTS} INCLUDING ALL,"
        f" CONSTRAINT ck_{name}_bounds CHECK ({bounds}))",
    )
    if is_distributed(connection):
        # Before it has rows: those that are moved stay on this node otherwise.
        distribute_with(connection, name, EVENTS)
    run_statement(
        connection, f"COMMENT ON TABLE {name} IS 'Telemetry events of {span.month}, by UTC.'"
    )
    default = default_of(partitions(connection))
    moved = 0
    if default is not None:
        with bypass_row_level_security(connection, default.name):
            moved += _move(connection, default.name, name, bounds)
            _lock_out_writers(connection, default.name, until)
            moved += _move(connection, default.name, name, bounds)
    run_statement(
        connection,
        f"ALTER TABLE {EVENTS} ATTACH PARTITION {name} FOR VALUES FROM ('{begins}') TO ('{ends}')",
    )
    run_statement(connection, f"ALTER TABLE {name} DROP CONSTRAINT ck_{name}_bounds")
    create_policies_if_enabled(connection)
    return moved


def wait_briefly(connection: Connection) -> None:
    """Limit waits for locks to `LOCK_TIMEOUT_MS` in this transaction.

    The run time of a statement is not limited.
    """
    connection.execute(_LIMITS, {"lock": str(LOCK_TIMEOUT_MS), "statement": "0"})


def merge_into_default(connection: Connection) -> None:
    """Move the rows of every other partition to the default one, and drop the others."""
    columns = connection.scalar(_COLUMNS)
    for partition in partitions(connection):
        if not partition.is_default:
            run_statement(connection, f"ALTER TABLE {EVENTS} DETACH PARTITION {partition.name}")
            move = f"INSERT INTO {EVENTS} ({columns}) SELECT {columns} FROM {partition.name}"  # noqa: S608 -- names from the catalog
            run_statement(connection, move)
            run_statement(connection, f"DROP TABLE {partition.name}")


def _move(connection: Connection, source: str, target: str, bounds: str) -> int:
    columns = connection.scalar(_COLUMNS)
    moving = text(
        f"WITH moved AS (DELETE FROM {source} WHERE {bounds} RETURNING {columns})"  # noqa: S608 -- names from the catalog
        f" INSERT INTO {target} ({columns}) SELECT {columns} FROM moved"
    )
    return connection.execute(moving).rowcount


def _lock_out_writers(connection: Connection, default: str, until: float) -> None:
    # The parent is locked first: a writer that waited only for the default partition would fail,
    # because its row was routed there before the new partition existed. Each attempt is short, so
    # that writers proceed between attempts; rows moved so far stay moved.
    while True:
        try:
            with connection.begin_nested():
                wait_briefly(connection)
                run_statement(connection, f"LOCK TABLE ONLY {EVENTS} IN SHARE ROW EXCLUSIVE MODE")
                run_statement(connection, f"LOCK TABLE ONLY {default} IN ACCESS EXCLUSIVE MODE")
        except DBAPIError as error:
            if getattr(error.orig, "sqlstate", None) != "55P03" or time.monotonic() > until:
                raise
            connection.execute(_PAUSE)
        else:
            _limit(connection, until)
            return


def _limit(connection: Connection, until: float) -> None:
    left = round((until - time.monotonic()) * 1000)
    if left <= 0:
        raise MigrationFailed(
            "creating partitions took longer than the deadline: run it again, and it continues"
        )
    connection.execute(_LIMITS, {"lock": str(LOCK_TIMEOUT_MS), "statement": str(left)})


def run_statement(connection: Connection, statement: str) -> None:
    """Execute a statement without parameters."""
    connection.execute(text(statement))
