"""Emptying a test database."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from functools import cache
from typing import TYPE_CHECKING

from sqlalchemy import Table, TextClause, delete, text

from domain import metadata
from domain.entities.knowledge import EmbeddingMetadata
from domain.schema.columns import EmbeddingColumn
from domain.values.embedding import known_dimensions
from repositories.migrations import application

if TYPE_CHECKING:
    from domain.schema.base import Entity
    from repositories import Database


@cache
def _statement(entities: tuple[type[Entity], ...]) -> TextClause:
    return text(f"DO $$ BEGIN {'; '.join(_steps(entities))}; END $$")


def _steps(entities: Sequence[type[Entity]]) -> Iterator[str]:
    own = [entity.__table__ for entity in entities]
    referenced = {key.referred_table for table in own for key in table.foreign_key_constraints}
    for table in reversed(own):
        # Importing a module registers its entities, also in a database without their tables.
        step = _step(table, referenced)
        yield f"IF to_regclass('{table.name}') IS NOT NULL THEN {step}; END IF"
    for table in reversed(metadata.sorted_tables):
        if table is not EmbeddingMetadata.__table__:
            yield _step(table, referenced)


def _step(table: Table, referenced: set[Table]) -> str:
    has_vectors = any(isinstance(column.type, EmbeddingColumn) for column in table.columns)
    if has_vectors and table not in referenced:
        # Deleted rows stay in an HNSW graph, and slow down the searches of the next test.
        return f"PERFORM 1 FROM {table.name} LIMIT 1; IF FOUND THEN TRUNCATE {table.name}; END IF"
    # For a few rows, TRUNCATE is ten times as slow: it makes new files for a table and its indexes.
    return str(delete(table))


async def create_application_tables(database: Database) -> None:
    """Create the tables of the database's own entities that are missing."""
    entities = database.registry.application_entities
    if entities:
        async with database.engine.begin() as connection:
            await connection.run_sync(application.create_application_tables, entities)


@asynccontextmanager
async def emptied(database: Database) -> AsyncIterator[None]:
    """Let entities accept embeddings of this database in the block.

    At the end, remove every row and restore the record of the embeddings.
    """
    before = await _recorded(database)
    with known_dimensions(database.dimensions):
        yield
    await empty(database)
    if before is not None and before != await _recorded(database):
        async with database.unit_of_work() as uow:
            await uow.embedding_metadata.set(
                provider=before.provider, model=before.model, dimensions=before.dimensions
            )
            await uow.commit()


async def _recorded(database: Database) -> EmbeddingMetadata | None:
    async with database.reader() as view:
        return await view.embedding_metadata.find()


async def empty(database: Database) -> None:
    """Remove every row of every tenant, except the record of the embeddings, in one round trip."""
    statement = _statement(tuple(database.registry.application_entities))
    async with database.engine.begin() as connection:
        await connection.execute(statement)
