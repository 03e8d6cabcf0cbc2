"""A fake and a PostgreSQL database, which have to answer the same calls alike."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, TypeVar

from sqlalchemy import text

from repositories.database import Database
from repositories.fakes import FakeDatabase
from repositories.testing.stateful.comparison import (
    Outcome,
    Returned,
    differences,
    outcome_of,
    plain,
)
from repositories.testing.tables import create_application_tables, emptied, empty

if TYPE_CHECKING:
    from pydantic import SecretStr

    from domain import DatabasePort

T = TypeVar("T")

# Keyword ranking counts rows while the planner has no statistics, and then both sides are exact.
_NEVER_ANALYSED: Final = "ALTER TABLE {table} SET (autovacuum_enabled = off)"
_IDLE: Final = timedelta(minutes=10)
"""A unit of work is idle while the other side works."""


class Difference(AssertionError):
    """The two sides disagree."""


class Sides:
    """A fake and a PostgreSQL database on one event loop, with the number of comparisons."""

    def __init__(self, loop: asyncio.AbstractEventLoop, database: Database) -> None:
        self._loop = loop
        self._database = database
        self._fake = self._new_fake()
        self.steps = 0

    @property
    def stores(self) -> Sequence[DatabasePort]:
        """The fake, then PostgreSQL."""
        return (self._fake, self._database)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run the coroutine to its end."""
        return self._loop.run_until_complete(work)

    def empty(self) -> None:
        """Remove the rows of both sides."""
        self._fake = self._new_fake()
        self.run(self.prepare(self._database))

    async def prepare(self, database: Database) -> None:
        """Remove the rows of PostgreSQL before a program."""
        await empty(database)

    def _new_fake(self) -> FakeDatabase:
        return FakeDatabase(
            dimensions=self._database.dimensions, entities=self._database.registry.application
        )

    def outcomes(
        self, calls: Sequence[Callable[[], Awaitable[Any]]], what: str, since: datetime
    ) -> Sequence[Outcome]:
        """Await the call of each side and return the outcomes.

        Raises:
            Difference: they differ.
        """
        outcomes = self.run(self._each(calls))
        self.compare(outcomes, what, since)
        return outcomes

    def compare(self, outcomes: Sequence[Outcome], what: str, since: datetime) -> None:
        """Raise `Difference` unless the outcomes are the same."""
        fake, postgres = (
            Returned(plain(outcome.value, since)) if isinstance(outcome, Returned) else outcome
            for outcome in outcomes
        )
        if fake == postgres:
            return
        if isinstance(fake, Returned) and isinstance(postgres, Returned):
            if paths := list(differences(fake.value, postgres.value)):
                raise Difference(f"{what}: the fake and PostgreSQL differ at {paths[:5]}")
        else:
            raise Difference(f"{what}: the fake {fake}, PostgreSQL {postgres}")

    @staticmethod
    async def _each(calls: Sequence[Callable[[], Awaitable[Any]]]) -> Sequence[Outcome]:
        return [await outcome_of(call) for call in calls]


S = TypeVar("S", bound=Sides)


@contextmanager
def open_sides(
    url: SecretStr,
    sides: Callable[[asyncio.AbstractEventLoop, Database], S],
    *,
    searched: Sequence[str] = (),
) -> Iterator[S]:
    """Open both sides on an event loop of their own, and empty the database at the end.

    Args:
        url: a migrated database for tests.
        sides: the class of the sides.
        searched: the tables with keyword search.
    """
    with asyncio.Runner() as runner:
        loop, stack = runner.get_loop(), AsyncExitStack()
        try:
            yield sides(loop, loop.run_until_complete(_opened(stack, url, searched)))
        finally:
            loop.run_until_complete(stack.aclose())


async def _opened(stack: AsyncExitStack, url: SecretStr, searched: Sequence[str]) -> Database:
    database = await stack.enter_async_context(
        Database.from_url(url, idle_in_transaction_timeout=_IDLE, statement_timeout=_IDLE)
    )
    await create_application_tables(database)
    async with database.engine.begin() as connection:
        for table in searched:
            await connection.execute(text(_NEVER_ANALYSED.format(table=table)))
    await stack.enter_async_context(emptied(database))
    return database
