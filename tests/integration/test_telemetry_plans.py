"""Queries about a few days read the partitions of their months only."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from domain import UsageBy
from repositories.migrations.months import Month
from repositories.sql import usage
from repositories.sql.explain import Explain

if TYPE_CHECKING:
    from sqlalchemy import Select

    from repositories import Database

THIS = Month.of(datetime.now(UTC))
DEFAULT = "telemetry_events_default"


def of(*months: int) -> set[str]:
    return {
        f"telemetry_events_{THIS.plus(month).year:04}_{THIS.plus(month).number:02}"
        for month in months
    }


async def scanned(database: Database, statement: Select[Any]) -> set[str]:
    """Return the partitions that the statement reads when it is executed."""
    async with database.reader() as view:
        [explained] = (await view._transaction.execute(Explain(statement))).scalar_one()
    return set(re.findall(r'"Relation Name": "(\w+)"', json.dumps(explained)))


async def test_usage_between_two_moments_reads_their_months_alone(database: Database) -> None:
    def between(since: datetime | None, until: datetime | None) -> Select[Any]:
        return usage.usage("default", UsageBy.MODEL, repo="acme/api", since=since, until=until)

    assert await scanned(database, between(THIS.begins, THIS.ends)) == of(0)
    a_week = timedelta(days=7)
    assert await scanned(database, between(THIS.ends - a_week, THIS.ends + a_week)) == of(0, 1)
    assert await scanned(database, between(THIS.plus(2).begins, None)) == of(2, 3) | {DEFAULT}
    assert await scanned(database, between(None, THIS.plus(2).begins)) == of(0, 1) | {DEFAULT}
    assert await scanned(database, between(None, None)) == of(0, 1, 2, 3) | {DEFAULT}


async def test_recent_timeouts_are_counted_without_the_months_before(database: Database) -> None:
    async with database.engine.begin() as connection:
        past = THIS.plus(-3)
        await connection.exec_driver_sql(
            f"CREATE TABLE long_ago PARTITION OF telemetry_events"
            f" FOR VALUES FROM ('{past.begins.isoformat()}') TO ('{past.ends.isoformat()}')"
        )
    try:
        recent = usage.count_timeouts("default", "acme/api", "ada", timedelta(days=7))
        assert "long_ago" not in await scanned(database, recent)
        older = usage.count_timeouts("default", "acme/api", "ada", timedelta(days=100))
        assert "long_ago" in await scanned(database, older)
    finally:
        await database.drop_telemetry_before(past.ends)
