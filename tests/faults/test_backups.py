"""Backups that are taken while others write."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text

from repositories import Database
from repositories.testing.factories import ReviewFactory, RunStateFactory

if TYPE_CHECKING:
    from pydantic import SecretStr

    from repositories.testing.servers import TestServer
    from tests.faults.conftest import Effort, Promises

WRITERS = 4


async def write_pair(database: Database) -> None:
    async with database.unit_of_work() as uow:
        uow.runs.add(RunStateFactory.build())
        uow.reviews.add(ReviewFactory.build())
        await uow.commit()


async def pairs(database: Database) -> tuple[int, int]:
    async with database.reader() as view:
        return await view.runs.count(), await view.reviews.count()


@pytest.fixture
def urls(server: TestServer) -> tuple[SecretStr, SecretStr]:
    return server.clone(), server.clone()


async def test_a_backup_has_both_rows_of_every_unit_of_work_or_neither(
    urls: tuple[SecretStr, SecretStr], tmp_path: Path, effort: Effort, promises: Promises
) -> None:
    backups, halves, restored = effort.times(1, 8), 0, 0
    async with Database.from_url(urls[0]) as source, Database.from_url(urls[1]) as target:
        writing = True

        async def write() -> None:
            while writing:
                await write_pair(source)

        writers = [asyncio.create_task(write()) for _ in range(WRITERS)]
        for number in range(backups):
            await write_pair(source)
            await source.dump(tmp_path / f"{number}")
            await target.restore(tmp_path / f"{number}", replace=True)
            runs, reviews = await pairs(target)
            halves += runs != reviews
            assert runs > restored, "a backup has what was committed before it"
            restored = runs
        writing = False
        await asyncio.gather(*writers)
        torn = await count_in_two_statements(source)
    assert halves == 0
    assert torn == 1
    promises(
        "A backup restores what was committed",
        f"0 of {backups} backups with half of a unit of work, up to {restored:,} units, beside "
        f"{WRITERS} writers",
        control="1 of 1 has half of one without the snapshot",
    )


async def count_in_two_statements(database: Database) -> int:
    """Look at both tables without a snapshot, with a unit of work in between."""
    async with database.engine.connect() as connection:
        runs = await connection.scalar(text("SELECT count(*) FROM run_state"))
        await write_pair(database)
        reviews = await connection.scalar(text("SELECT count(*) FROM reviews"))
    return int(runs != reviews)
