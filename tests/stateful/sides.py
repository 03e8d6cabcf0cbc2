"""The two sides with the library's own tables."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Final

from sqlalchemy import delete, text

from domain.entities.knowledge import EmbeddingMetadata
from repositories.testing.stateful import sides
from repositories.testing.stateful.sides import Difference, Sides
from tests.conftest import DIMENSIONS

if TYPE_CHECKING:
    from pydantic import SecretStr

    from repositories import Database

__all__ = ["Difference", "Sides", "open_sides"]

_SEARCHED: Final = ("knowledge", "findings", "learning_memories")


class LibrarySides(Sides):
    """A fake and a PostgreSQL database; programs also change the record of the embeddings."""

    async def prepare(self, database: Database) -> None:
        """Remove the rows of PostgreSQL, and record the same embeddings on both sides."""
        await super().prepare(database)
        async with database.engine.begin() as connection:
            # Deleted rows would make the table too long for the ranking to look at all of it.
            await connection.execute(text("TRUNCATE findings, feedback_reactions"))
            # The record of an earlier program would be older than this one.
            await connection.execute(delete(EmbeddingMetadata.__table__))
        for store in self.stores:
            async with store.unit_of_work() as uow:
                await uow.embedding_metadata.set(
                    provider="example", model="model-a", dimensions=DIMENSIONS
                )
                await uow.commit()


def open_sides(url: SecretStr) -> AbstractContextManager[Sides]:
    """Open both sides on an event loop of their own."""
    return sides.open_sides(url, LibrarySides, searched=_SEARCHED)
