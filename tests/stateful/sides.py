"""The two sides: a fake and PostgreSQL, which are asked the same and have to answer the same."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, TypeVar

from sqlalchemy import delete, text

from domain.entities.knowledge import EmbeddingMetadata
from repositories import Database
from repositories.fakes import FakeDatabase
from repositories.testing.tables import empty
from tests.conftest import DIMENSIONS
from tests.stateful.comparison import Outcome, Returned, differences, outcome_of, plain

if TYPE_CHECKING:
    from pydantic import SecretStr

    from tests.contract.suites import Store

T = TypeVar("T")

# Nothing may estimate what a few rows allow to count: keyword ranking is exact while the planner
# has no statistics.
_NEVER_ANALYSED: Final = "ALTER TABLE {table} SET (autovacuum_enabled = off)"
# A unit of work waits, idle, for its turn among the operations, and it is not the time that is
# compared.
_PATIENCE: Final = timedelta(minutes=10)
_SEARCHED: Final = ("knowledge", "findings", "learning_memories")


class Difference(AssertionError):
    """The two sides disagree."""


class Sides:
    """A fake and a PostgreSQL database on one event loop, with the number of comparisons."""

    def __init__(self, loop: asyncio.AbstractEventLoop, database: Database) -> None:
        self._loop = loop
        self._database = database
        self._fake = FakeDatabase(dimensions=DIMENSIONS)
        self.steps = 0

    @property
    def stores(self) -> Sequence[Store]:
        """Return the fake, then PostgreSQL."""
        return (self._fake, self._database)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run the coroutine to its end."""
        return self._loop.run_until_complete(work)

    def empty(self) -> None:
        """Empty both sides, except for the record of the embeddings."""
        self._fake = FakeDatabase(dimensions=DIMENSIONS)
        self.run(self._empty())

    async def _empty(self) -> None:
        await empty(self._database)
        # Deleted rows would make the table too long for the ranking to look at all of it.
        async with self._database.engine.begin() as connection:
            await connection.execute(text("TRUNCATE findings, feedback_reactions"))
            # The record of embeddings that an example left would be older than the next example.
            await connection.execute(delete(EmbeddingMetadata.__table__))
        for store in self.stores:
            async with store.unit_of_work() as uow:
                await uow.embedding_metadata.set(
                    provider="example", model="model-a", dimensions=DIMENSIONS
                )
                await uow.commit()

    def same(
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


@contextmanager
def open_sides(url: SecretStr) -> Iterator[Sides]:
    """Open both sides on an event loop of their own."""
    with asyncio.Runner() as runner:
        loop = runner.get_loop()
        database = loop.run_until_complete(_opened(url))
        try:
            yield Sides(loop, database)
        finally:
            loop.run_until_complete(database.__aexit__(None, None, None))


async def _opened(url: SecretStr) -> Database:
    database = await Database.from_url(
        url, idle_in_transaction_timeout=_PATIENCE, statement_timeout=_PATIENCE
    ).__aenter__()
    async with database.engine.begin() as connection:
        for table in _SEARCHED:
            await connection.execute(text(_NEVER_ANALYSED.format(table=table)))
    return database
