"""Switching row-level security on and off: not a revision, because most databases do without, and later ones have to keep it.

That it is on is recorded by the policies themselves. Migrating covers what is new wherever it is on, and `check` tells what is not.
"""

from __future__ import annotations

from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING

from sqlalchemy import text

from repositories.migrations.session import DEADLINE, migration_session
from repositories.statements.row_security import WALLS, bind_the_owner, build_wall, let_the_owner_pass, take_wall_down

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from datetime import timedelta

    from sqlalchemy import Connection
    from sqlalchemy.ext.asyncio import AsyncEngine

    from repositories.migrations.session import MigrationSession


async def isolate(engine: AsyncEngine, *, deadline: timedelta = DEADLINE) -> list[str]:
    """Cover every table with tenants, and each partition, by a policy that shows a transaction its tenant's rows alone.

    Returns the tables that were not covered before; all or none are. Whoever has the database open already does not name the tenant
    to the server, and sees nothing from then on: open it again.

    Raises:
        MigrationFailed: a statement was refused, or a lock was not to be had.
        DatabaseFailure: no connection.
    """
    async with migration_session(engine, deadline) as session:
        return await session.run(_cover, doing="switching row-level security on")


async def expose(engine: AsyncEngine, *, deadline: timedelta = DEADLINE) -> list[str]:
    """Undo `isolate`, and return the tables that had something of it. Raises as `isolate` does."""
    async with migration_session(engine, deadline) as session:
        return await session.run(_expose, doing="switching row-level security off")


@asynccontextmanager
async def passed_by_the_owner(session: MigrationSession, *, needed: bool) -> AsyncIterator[None]:
    """Where row-level security is on, let the owner see every tenant's rows inside, and cover all tables afterwards.

    A revision that fills a column would find no row otherwise, and say nothing. What is interrupted inside leaves tables that bind
    everyone but their owner; `check` tells, and the next migration covers them.
    """
    on = await session.run(_is_on, doing="looking at row-level security")
    if on and needed:
        await session.run(_let_the_owner_pass, doing="letting the owner pass row-level security")
    try:
        yield
    finally:
        if on:
            await session.run(_cover, doing="covering tables by row-level security")


@contextmanager
def every_tenants(connection: Connection, table: str) -> Iterator[None]:
    """Let the owner of a table see every tenant's rows of it inside; until the transaction ends nobody else notices.

    Where row-level security binds its owner, it would count no row, and move and delete none.
    """
    bound = connection.scalar(text("SELECT row_security_active(CAST(:table AS text))"), {"table": table})
    if bound:
        connection.execute(text(let_the_owner_pass(table)))
    yield
    # What fails inside takes the transaction along, and this with it.
    if bound:
        connection.execute(text(bind_the_owner(table)))


def cover_if_on(connection: Connection) -> None:
    """Cover what is new, where row-level security is on."""
    if _is_on(connection):
        _cover(connection)


def _is_on(connection: Connection) -> bool:
    return any(wall["begun"] for wall in connection.execute(WALLS).mappings())


def _let_the_owner_pass(connection: Connection) -> None:
    for wall in connection.execute(WALLS).mappings().all():
        connection.execute(text(let_the_owner_pass(wall["table"])))


def _cover(connection: Connection) -> list[str]:
    uncovered = [wall["table"] for wall in connection.execute(WALLS).mappings() if not wall["covered"]]
    for table in uncovered:
        for statement in build_wall(table):
            connection.execute(text(statement))
    return uncovered


def _expose(connection: Connection) -> list[str]:
    begun = [wall["table"] for wall in connection.execute(WALLS).mappings() if wall["begun"]]
    for table in begun:
        for statement in take_wall_down(table):
            connection.execute(text(statement))
    return begun
