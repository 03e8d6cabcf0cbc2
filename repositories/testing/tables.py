"""Emptying a test database."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import text

from domain.entity import metadata
from domain.knowledge import EmbeddingMetadata

if TYPE_CHECKING:
    from repositories import Database

_TABLES = ", ".join(sorted(table.name for table in metadata.tables.values() if table is not EmbeddingMetadata.__table__))


async def empty(database: Database) -> None:
    """Remove every row, of every tenant, but the record of how the database embeds."""
    async with database.engine.begin() as connection:
        await connection.execute(text(f"TRUNCATE {_TABLES}"))  # noqa: S608 -- names of our own tables
