"""The table of committed operations is purged by age, for every tenant."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from domain import InvalidInput, MigrationFailed
from repositories import Database, operations
from tests.integration.migrations.support import execute, newest, scalar

if TYPE_CHECKING:
    from pydantic import SecretStr
    from sqlalchemy.ext.asyncio import AsyncEngine

    from repositories import UnitOfWork

WEEK = timedelta(days=7)
LEFT = "SELECT array_agg(tenant ORDER BY tenant) FROM committed_operations"


def operation(*, days: float, tenant: str = "default", operation_id: object = None) -> str:
    return (
        "INSERT INTO committed_operations (tenant, operation_id, created_at)"
        f" VALUES ('{tenant}', '{operation_id or uuid4()}', now() - make_interval(secs => "
        f"{days * 86_400}))"
    )


async def test_operations_that_are_too_old_go_in_batches_and_the_rest_stays(
    migrated: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("repositories.operations.maintenance.BATCH_SIZE", 2)
    old = [operation(days=8, tenant=tenant) for tenant in ("a", "a", "a", "b", "c")]
    young = [operation(days=6, tenant=tenant) for tenant in ("a", "c", "d")]
    await execute(migrated, *young, *old)
    assert (await operations.maintain(migrated)).operations == 0, (
        "only requested purges delete rows"
    )
    assert await operations.maintain(migrated, keep_operations=WEEK) == operations.Maintenance(
        operations=5
    )
    assert await scalar(migrated, LEFT) == ["a", "c", "d"]
    assert (await operations.maintain(migrated, keep_operations=WEEK)).operations == 0


@newest
async def test_each_batch_is_bounded_and_lasts_whatever_becomes_of_the_next(
    migrated: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("repositories.operations.maintenance.BATCH_SIZE", 2)
    await execute(
        migrated,
        *(operation(days=8, tenant=tenant) for tenant in "aab"),
        operation(days=8, tenant="c"),
    )
    refuse = (
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " IF old.tenant = 'c' THEN RAISE 'not this one'; END IF; RETURN old; END $$"
    )
    await execute(
        migrated,
        refuse,
        "CREATE TRIGGER refuse BEFORE DELETE ON committed_operations FOR EACH ROW EXECUTE "
        "FUNCTION refuse()",
    )
    with pytest.raises(MigrationFailed, match=r"^purging committed operations failed"):
        await operations.maintain(migrated, keep_operations=WEEK)
    assert await scalar(migrated, LEFT) == ["b", "c"], (
        "two of the first batch are gone, and none of the second"
    )


@newest
async def test_a_recorded_operation_is_reported_and_a_purged_one_may_run_again(
    migrated: AsyncEngine, migrated_url: SecretStr
) -> None:
    forgotten, recent = uuid4(), uuid4()
    await execute(migrated, operation(days=8, operation_id=forgotten))

    async def work(_: UnitOfWork) -> None:
        """Do nothing but be remembered."""

    async with Database.from_url(migrated_url) as database:
        await database.run(work, operation_id=recent)
        assert (await database.maintain(keep_operations=timedelta(hours=1))).operations == 1
        assert [await database.outcome(one) for one in (forgotten, recent)] == [False, True]
        await database.run(work, operation_id=forgotten)
        assert await database.outcome(forgotten)


@newest
@pytest.mark.parametrize(
    "age", [timedelta(0), timedelta(minutes=59), timedelta(days=-1), timedelta(days=40_000)]
)
async def test_an_age_that_could_still_be_asked_for_is_refused(
    migrated: AsyncEngine, age: timedelta
) -> None:
    await execute(migrated, operation(days=30_000))
    with pytest.raises(InvalidInput, match=r"^keep_operations must be") as refused:
        await operations.maintain(migrated, keep_operations=age)
    assert refused.value.field == "keep_operations"
    assert await scalar(migrated, LEFT) == ["default"]
