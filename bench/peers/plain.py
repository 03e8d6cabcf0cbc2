"""Code that teams write by themselves.

A SQLModel class as its tutorial has it, and stores that write row by row.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import asyncpg
from pgvector.sqlalchemy import VECTOR
from sqlalchemy import Column, Computed, MetaData
from sqlalchemy.dialects.postgresql import JSONB, TSVECTOR
from sqlalchemy.ext.asyncio import create_async_engine
from sqlmodel import Field, SQLModel, col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from bench.peers.work import Passage

TABLE = "peer_plain"
RESET = (
    f"DROP TABLE IF EXISTS {TABLE}",
    f"""CREATE TABLE {TABLE} (
     id uuid PRIMARY KEY, title text NOT NULL, content text NOT NULL, extra jsonb NOT NULL,
     embedding vector,
     words tsvector GENERATED ALWAYS AS (to_tsvector('english', content)) STORED)""",
    f"CREATE INDEX ON {TABLE} USING gin (words)",
)
GRAPH = (
    f"CREATE INDEX ON {TABLE} USING hnsw (embedding vector_cosine_ops)"
    " WITH (m = 16, ef_construction = 64)"
)


class Chunk(SQLModel, table=True):
    __tablename__ = TABLE  # pyright: ignore[reportAssignmentType] -- as SQLModel has it done
    metadata = MetaData()  # not among the entities

    id: UUID = Field(primary_key=True)
    title: str
    content: str
    extra: dict[str, Any] = Field(sa_type=JSONB)
    embedding: Any = Field(sa_type=VECTOR)
    words: str | None = Field(
        default=None,
        sa_column=Column(TSVECTOR, Computed("to_tsvector('english', content)", persisted=True)),
    )


class _Table:
    """The table that all of them use in turn."""

    def __init__(self, url: str, dimensions: int) -> None:
        self._url = url
        self._dimensions = dimensions

    async def reset(self) -> None:
        await self._execute(
            *RESET, f"ALTER TABLE {TABLE} ALTER embedding TYPE vector({self._dimensions})"
        )

    async def index(self) -> None:
        await self._execute(GRAPH)

    async def _execute(self, *statements: str) -> None:
        connection = await asyncpg.connect(self._url)
        for statement in statements:
            await connection.execute(statement)
        await connection.close()


class PlainSQLModel(_Table):
    """`session.add_all`, `session.get` and a `select` of whole entities; vectors go as text."""

    def __init__(self, url: str, dimensions: int) -> None:
        super().__init__(url, dimensions)
        self._engine = create_async_engine(url.replace("postgresql://", "postgresql+asyncpg://", 1))

    async def write(self, passages: Sequence[Passage]) -> None:
        async with AsyncSession(self._engine) as session:
            session.add_all(
                Chunk(
                    id=UUID(one.id),
                    title=one.title,
                    content=one.content,
                    extra=one.metadata,
                    embedding=one.embedding,
                )
                for one in passages
            )
            await session.commit()

    async def search(self, embedding: list[float], limit: int) -> int:
        distance = col(Chunk.embedding).op("<=>")(embedding)
        async with AsyncSession(self._engine) as session:
            return len((await session.exec(select(Chunk).order_by(distance).limit(limit))).all())

    async def get(self, key: str) -> None:
        async with AsyncSession(self._engine) as session:
            await session.get_one(Chunk, UUID(key))

    async def close(self) -> None:
        await self._engine.dispose()


class _RowByRow(_Table):
    def __init__(self, url: str, dimensions: int) -> None:
        super().__init__(url, dimensions)
        self._pool: Any = None

    async def reset(self) -> None:
        await super().reset()
        if self._pool is None:
            self._pool = await asyncpg.create_pool(self._url, min_size=1, max_size=4)

    async def search(self, embedding: list[float], limit: int) -> int:
        nearest = f"""SELECT id, title, content, extra, 1 - (embedding <=> $1::vector) AS score
         FROM {TABLE} ORDER BY embedding <=> $1::vector LIMIT $2"""
        return len(await self._pool.fetch(nearest, json.dumps(embedding), limit))

    async def close(self) -> None:
        if self._pool is not None:
            await self._pool.close()


class ReviewStore(_RowByRow):
    """One INSERT and one transaction a row, the vector as text."""

    async def write(self, passages: Sequence[Passage]) -> None:
        insert = (
            f"INSERT INTO {TABLE} (id, title, content, extra, embedding)"
            " VALUES ($1, $2, $3, $4, $5::vector)"
        )
        for one in passages:
            await self._pool.execute(
                insert,
                UUID(one.id),
                one.title,
                one.content,
                json.dumps(one.metadata),
                str(one.embedding),
            )


class DocumentStore(_RowByRow):
    """Two transactions a row: the text, then its vector, as JSON text."""

    async def write(self, passages: Sequence[Passage]) -> None:
        document = f"""INSERT INTO {TABLE} (id, title, content, extra) VALUES ($1, $2, $3, $4)
         ON CONFLICT (id) DO UPDATE SET
           title = EXCLUDED.title, content = EXCLUDED.content, extra = EXCLUDED.extra"""
        vector = f"UPDATE {TABLE} SET embedding = $2::vector WHERE id = $1"
        for one in passages:
            async with self._pool.acquire() as connection, connection.transaction():
                await connection.execute(
                    document, UUID(one.id), one.title, one.content, json.dumps(one.metadata)
                )
            async with self._pool.acquire() as connection, connection.transaction():
                await connection.execute(vector, UUID(one.id), json.dumps(one.embedding))
