"""Work that writes two rows or none, and how to tell afterwards that one of them is missing."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from sqlalchemy import text

from domain import Review

if TYPE_CHECKING:
    from repositories import Database, UnitOfWork


async def write_first(uow: UnitOfWork, name: str) -> None:
    uow.reviews.add(Review(repo=name, pr_number=1))
    await uow.flush()


async def write_second(uow: UnitOfWork, name: str) -> None:
    uow.reviews.add(Review(repo=name, pr_number=2))
    await uow.flush()


async def write_together(database: Database, name: str) -> None:
    """Write the two rows in one unit of work, the second one in a savepoint."""
    async with database.unit_of_work() as uow:
        await write_first(uow, name)
        async with uow.savepoint():
            await write_second(uow, name)
        await uow.commit()


async def write_apart(database: Database, name: str) -> None:
    """Write the two rows in two units of work, with most of the time in between.

    Whatever ends it there leaves half of it.
    """
    for pause, write in ((0.0, write_first), (0.1, write_second)):
        await asyncio.sleep(pause)
        async with database.unit_of_work() as uow:
            await write(uow, name)
            await uow.commit()


async def rows_by_name(database: Database) -> dict[str, int]:
    """Return how many rows each name has: two, or the name is not there."""
    async with database.engine.connect() as connection:
        rows = await connection.execute(text("SELECT repo, count(*) FROM reviews GROUP BY repo"))
        return {row[0]: row[1] for row in rows}


async def busy(database: Database) -> list[str]:
    """Return the state and the statement of each other client backend that is not idle."""
    async with database.engine.connect() as connection:
        # An autovacuum worker is active in the database as well, but runs no client's query.
        others = (
            "SELECT concat_ws(', ', state, wait_event, now() - state_change, query)"
            " FROM pg_stat_activity WHERE datname = current_database()"
            " AND pid <> pg_backend_pid() AND backend_type = 'client backend' AND state <> 'idle'"
        )
        return list((await connection.execute(text(others))).scalars())


async def backends(database: Database) -> int:
    """Return how many client backends this database has."""
    async with database.engine.connect() as connection:
        counted = (
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND "
            "backend_type = 'client backend'"
        )
        return int((await connection.execute(text(counted))).scalar_one())


async def settled(database: Database, *, at_most: int, within: float = 1) -> tuple[list[str], int]:
    """Return the busy backends and the number of all, once as expected or the time is over."""
    async with asyncio.timeout(within + 10):
        end = asyncio.get_running_loop().time() + within
        while True:
            backends_now = await busy(database), await backends(database)
            if (
                not backends_now[0] and backends_now[1] <= at_most
            ) or asyncio.get_running_loop().time() > end:
                return backends_now
            await asyncio.sleep(0.02)
