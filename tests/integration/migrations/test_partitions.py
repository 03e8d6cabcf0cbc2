"""The months of telemetry.

Made ahead, filled from the default partition, dropped whole, while others write.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import text

from domain import InvalidInput, LockTimeout, MigrationFailed, SchemaOutdated
from repositories import Database, migrations, operations
from repositories.migrations import partitions as month_partitions
from repositories.migrations.months import LAST, Month
from tests.integration.migrations.support import Schema, execute, newest, opened, scalar

if TYPE_CHECKING:
    from pydantic import SecretStr
    from sqlalchemy.ext.asyncio import AsyncEngine

    from repositories.testing.servers import TestServer

NOW = datetime.now(UTC)
THIS = Month.of(NOW)
PARTITIONS = """
SELECT array_agg(name ORDER BY name) FROM (SELECT inhrelid::regclass::text AS name FROM pg_inherits
                                           WHERE inhparent = 'telemetry_events'::regclass) AS found
"""
WHERE = "SELECT tableoid::regclass::text FROM telemetry_events WHERE created_at = :moment"


def name_of(month: Month) -> str:
    return f"telemetry_events_{month.year:04}_{month.number:02}"


def names(*months: int) -> list[str]:
    return sorted([*(name_of(THIS.plus(month)) for month in months), "telemetry_events_default"])


def event_at(moment: datetime, *, tenant: str = "default") -> str:
    return (
        "INSERT INTO telemetry_events (tenant, id, repo, event_type, model, conclusion, created_at)"
        f" VALUES ('{tenant}', gen_random_uuid(), 'a/b', 'review', 'm', 'ok', "
        f"'{moment.isoformat()}')"
    )


def test_a_month_is_one_of_utc_and_knows_those_around_it() -> None:
    assert Month.of(datetime.fromisoformat("2026-01-01T01:00:00+02:00")) == Month(2025, 12)
    assert Month(2025, 12).plus(1) == Month(2026, 1) == Month(2026, 2).plus(-1)
    assert (Month(2025, 12).begins, Month(2025, 12).ends) == (
        datetime(2025, 12, 1, tzinfo=UTC),
        datetime(2026, 1, 1, tzinfo=UTC),
    )
    assert LAST.ends < datetime.max.replace(tzinfo=UTC)
    assert str(Month(987, 6)) == "0987-06"


async def test_a_migrated_database_has_this_month_and_three_more_and_needs_nothing(
    migrated: AsyncEngine,
) -> None:
    assert await scalar(migrated, PARTITIONS) == names(0, 1, 2, 3)
    assert await operations.maintain(migrated) == operations.Maintenance()
    comment = await scalar(migrated, f"SELECT obj_description('{name_of(THIS)}'::regclass)")
    assert comment == f"Telemetry events of {THIS}, by UTC."
    described = (
        "SELECT count(*) FILTER (WHERE col_description(attrelid, attnum) IS NULL) FROM pg_attribute"
    )
    assert (
        await scalar(
            migrated, f"{described} WHERE attrelid = '{name_of(THIS)}'::regclass AND attnum > 0"
        )
        == 0
    )


async def test_months_that_are_missing_are_made_as_the_first_ones_were(
    migrated: AsyncEngine, server: TestServer, migrated_url: SecretStr
) -> None:
    schema = Schema(server, migrated_url)
    before = schema.dump()
    await execute(
        migrated, f"DROP TABLE {name_of(THIS.plus(1))}", f"DROP TABLE {name_of(THIS.plus(3))}"
    )
    done = await operations.maintain(migrated)
    assert done == operations.Maintenance(created=(str(THIS.plus(1)), str(THIS.plus(3))))
    assert schema.dump() == before
    assert (await operations.maintain(migrated, ahead=5)).created == (
        str(THIS.plus(4)),
        str(THIS.plus(5)),
    )
    assert await migrations.check(migrated) == []


async def test_events_that_wait_in_the_default_partition_are_moved_to_their_months(
    migrated: AsyncEngine,
) -> None:
    old = datetime(2020, 2, 29, 23, 59, 59, tzinfo=UTC)
    odd = [datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC)]
    await execute(
        migrated, f"DROP TABLE {name_of(THIS)}", *(event_at(one) for one in (NOW, NOW, old, *odd))
    )
    done = await operations.maintain(migrated)
    assert done == operations.Maintenance(created=(str(THIS), "2020-02", "0001-01"), moved=4)
    assert await scalar(migrated, WHERE, moment=NOW) == name_of(THIS)
    assert await scalar(migrated, WHERE, moment=old) == "telemetry_events_2020_02"
    assert await scalar(migrated, WHERE, moment=odd[1]) == "telemetry_events_default", (
        "no month comes after it"
    )
    assert await scalar(migrated, "SELECT count(*) FROM telemetry_events") == 5
    assert await migrations.check(migrated) == []


async def test_a_rollback_moves_events_to_the_default_partition_and_a_migration_moves_them_back(
    migrated: AsyncEngine,
) -> None:
    await execute(
        migrated, event_at(NOW), event_at(THIS.plus(2).begins), event_at(THIS.plus(-9).begins)
    )
    assert await migrations.rollback(migrated, "0007") == "0007"
    assert await scalar(migrated, PARTITIONS) == ["telemetry_events_default"]
    assert await scalar(migrated, "SELECT count(*) FROM telemetry_events_default") == 3
    with pytest.raises(SchemaOutdated):
        await operations.maintain(migrated)
    await migrations.migrate(migrated)
    assert await scalar(migrated, "SELECT count(*) FROM telemetry_events_default") == 1
    assert await scalar(migrated, "SELECT count(*) FROM telemetry_events") == 3


@newest
async def test_only_so_many_months_are_made_of_what_the_default_partition_holds(
    migrated: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("repositories.operations.maintenance.MOST_PARTITIONS", 6)
    await execute(migrated, *(event_at(THIS.plus(-number).begins) for number in (1, 2, 3)))
    done = await operations.maintain(migrated)
    assert done == operations.Maintenance(created=(str(THIS.plus(-1)),), moved=1, postponed=2)


async def test_months_that_ended_are_dropped_whole_and_the_rest_stays(
    migrated: AsyncEngine,
) -> None:
    for month in (-3, -2, -1):
        await execute(
            migrated, *(event_at(THIS.plus(month).begins, tenant=tenant) for tenant in ("a", "b"))
        )
    await operations.maintain(migrated)
    await execute(migrated, event_at(datetime(1999, 1, 1, tzinfo=UTC)), "ANALYZE telemetry_events")
    in_the_month_after = THIS.plus(-2).begins + timedelta(days=3)
    done = await operations.drop_before(migrated, in_the_month_after)
    assert done == operations.Maintenance(
        dropped=(name_of(THIS.plus(-3)),), dropped_rows=2, deleted=1
    )
    assert await scalar(migrated, "SELECT count(*) FROM telemetry_events") == 4
    retention = NOW - THIS.plus(-1).begins
    done = await operations.maintain(migrated, keep=retention)
    assert (done.dropped, done.dropped_rows) == ((name_of(THIS.plus(-2)),), 2)
    assert await scalar(migrated, PARTITIONS) == names(-1, 0, 1, 2, 3)
    assert await operations.drop_before(migrated, THIS.begins) == operations.Maintenance(
        dropped=(name_of(THIS.plus(-1)),), dropped_rows=2
    )
    assert await migrations.check(migrated) == []


@newest
async def test_partitions_of_other_bounds_are_left_and_no_month_is_made_over_them(
    migrated: AsyncEngine,
) -> None:
    await execute(
        migrated,
        *(f"DROP TABLE {name_of(THIS.plus(month))}" for month in (2, 3)),
        "CREATE TABLE first PARTITION OF telemetry_events FOR VALUES FROM (MINVALUE) TO "
        "('2001-01-01')",
        'CREATE TABLE "Last" PARTITION OF telemetry_events FOR VALUES FROM '
        f"('{THIS.plus(2).begins.isoformat()}') TO (MAXVALUE)",
    )
    assert await operations.maintain(migrated, ahead=5) == operations.Maintenance()
    assert (await operations.drop_before(migrated, NOW)).dropped == ("first",)
    assert await migrations.rollback(migrated, "0007") == "0007"


async def test_many_waiting_events_of_a_month_are_moved_in_parts_and_an_interruption_loses_none(
    migrated: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(month_partitions, "MOST_MOVED", 4)
    month = THIS.plus(-1)
    moments = [month.begins + timedelta(hours=hour) for hour in range(10)]
    await execute(migrated, *map(event_at, moments))
    create, calls = month_partitions.create_partition, 0

    def interrupted(*arguments: Any, **options: Any) -> int:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise KeyboardInterrupt
        return create(*arguments, **options)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(month_partitions, "create_partition", interrupted)
        await operations.maintain(migrated)
    assert await scalar(migrated, "SELECT count(*) FROM telemetry_events") == 10
    assert await scalar(migrated, "SELECT count(*) FROM telemetry_events_default") == 7
    done = await operations.maintain(migrated)
    assert (done.created, done.moved) == ((str(month),), 7)
    assert await operations.maintain(migrated) == operations.Maintenance()
    assert await scalar(migrated, "SELECT count(*) FROM telemetry_events") == 10
    assert await scalar(migrated, "SELECT count(*) FROM telemetry_events_default") == 0
    holding = {await scalar(migrated, WHERE, moment=moment) for moment in moments}
    assert len(holding) == 3
    assert await scalar(migrated, WHERE, moment=month.ends - timedelta(seconds=1)) is None
    assert await migrations.check(migrated) == []
    early = await operations.drop_before(migrated, month.ends - timedelta(days=1))
    assert early.dropped == (), "the month has not ended"
    done = await operations.drop_before(migrated, month.ends)
    assert set(done.dropped) == holding
    assert await scalar(migrated, "SELECT count(*) FROM telemetry_events") == 0


@newest
async def test_many_who_maintain_at_the_same_time_do_it_once(
    migrated: AsyncEngine, migrated_url: SecretStr
) -> None:
    await execute(migrated, f"DROP TABLE {name_of(THIS)}", event_at(NOW))

    async def maintain() -> operations.Maintenance:
        async with opened(migrated_url) as engine:
            return await operations.maintain(engine)

    done = await asyncio.gather(*(maintain() for _ in range(4)))
    assert sorted(one.moved for one in done) == [0, 0, 0, 1]
    assert await scalar(migrated, PARTITIONS) == names(0, 1, 2, 3)
    dropped = await asyncio.gather(
        *(operations.drop_before(migrated, THIS.plus(1).begins) for _ in range(4))
    )
    assert {one.dropped for one in dropped} <= {(name_of(THIS),), ()}
    assert await scalar(migrated, PARTITIONS) == names(1, 2, 3)


@newest
async def test_no_event_is_lost_or_refused_while_its_month_is_made(migrated: AsyncEngine) -> None:
    await execute(migrated, f"DROP TABLE {name_of(THIS)}", event_at(NOW))
    stopped = asyncio.Event()

    async def write() -> int:
        written = 0
        while not stopped.is_set():
            await execute(migrated, event_at(NOW))
            written += 1
        return written

    writers = [asyncio.create_task(write()) for _ in range(3)]
    await execute(migrated, event_at(NOW))
    done = await operations.maintain(migrated)
    stopped.set()
    written = sum(await asyncio.gather(*writers)) + 2
    assert done.created == (str(THIS),)
    assert await scalar(migrated, f"SELECT count(*) FROM {name_of(THIS)}") == written
    assert await scalar(migrated, "SELECT count(*) FROM telemetry_events_default") == 0


@newest
async def test_a_lock_timeout_raises_and_changes_nothing(
    migrated: AsyncEngine,
) -> None:
    await execute(migrated, f"DROP TABLE {name_of(THIS)}", event_at(NOW))
    async with migrated.begin() as reader:
        await reader.execute(text("SELECT count(*) FROM telemetry_events"))
        with pytest.raises(
            MigrationFailed, match=f"^creating the partition of {THIS} failed: .+ lock timeout"
        ):
            await operations.maintain(migrated, deadline=timedelta(seconds=0.7))
        with pytest.raises(LockTimeout):
            await operations.drop_before(
                migrated, THIS.plus(2).begins, deadline=timedelta(seconds=0.2)
            )
    assert await scalar(migrated, "SELECT count(*) FROM telemetry_events_default") == 1
    assert (await operations.maintain(migrated)).moved == 1


async def test_health_says_which_month_is_missing_and_that_events_wait(
    migrated: AsyncEngine, migrated_url: SecretStr
) -> None:
    await execute(migrated, f"DROP TABLE {name_of(THIS.plus(1))}", event_at(THIS.plus(1).begins))
    async with Database.from_url(migrated_url) as database:
        problems = (await database.health()).problems
        assert [problem.what for problem in problems] == [
            f"telemetry has no partition for {THIS.plus(1)}",
            "the default partition of telemetry holds events",
        ]
        assert {problem.remedy for problem in problems} == {
            "run `recollect db maintain`, and let it run every month"
        }
        assert (await database.maintain()).moved == 1
        assert (await database.health()).healthy
        assert (await database.drop_telemetry_before(NOW)) == operations.Maintenance()


@newest
async def test_what_cannot_be_asked_for_is_refused(migrated: AsyncEngine) -> None:
    for months in (-1, 121):
        with pytest.raises(InvalidInput, match=r"^ahead must be"):
            await operations.maintain(migrated, ahead=months)
    with pytest.raises(InvalidInput, match=r"^keep must be"):
        await operations.maintain(migrated, keep=timedelta(days=-1))
    with pytest.raises(InvalidInput, match="time zone"):
        await operations.drop_before(migrated, datetime(2026, 1, 1))  # noqa: DTZ001 -- that is what is wrong
