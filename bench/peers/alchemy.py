"""advanced-alchemy: an async repository over a model with pgvector's own column type."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from advanced_alchemy.base import UUIDBase
from advanced_alchemy.repository import SQLAlchemyAsyncRepository
from pgvector.sqlalchemy import Vector
from sqlalchemy import Computed, select, text
from sqlalchemy.dialects.postgresql import JSONB, TSVECTOR
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.orm import Mapped, deferred, mapped_column

from bench.peers.work import Passage

TABLE = "peer_alchemy"
GRAPH = (
    f"CREATE INDEX ON {TABLE} USING hnsw (embedding vector_cosine_ops)"
    " WITH (m = 16, ef_construction = 64)"
)


class Chunk(UUIDBase):
    __tablename__ = TABLE

    title: Mapped[str]
    content: Mapped[str]
    extra: Mapped[dict[str, Any]] = mapped_column(JSONB)
    embedding: Mapped[Any] = mapped_column(Vector())
    words: Mapped[Any] = deferred(
        mapped_column(TSVECTOR, Computed("to_tsvector('english', content)", persisted=True))
    )


class Chunks(SQLAlchemyAsyncRepository[Chunk]):
    model_type = Chunk


class Alchemy:
    def __init__(self, url: str, dimensions: int) -> None:
        self._engine = create_async_engine(url)
        self._session = async_sessionmaker(self._engine, expire_on_commit=False)
        self._dimensions = dimensions

    async def reset(self) -> None:
        table = Chunk.__table__
        async with self._engine.begin() as connection:
            await connection.execute(text(f"DROP TABLE IF EXISTS {TABLE}"))
            await connection.run_sync(table.create)
            await connection.execute(
                text(f"ALTER TABLE {TABLE} ALTER embedding TYPE vector({self._dimensions})")
            )
            await connection.execute(text(f"CREATE INDEX ON {TABLE} USING gin (words)"))

    async def index(self) -> None:
        async with self._engine.begin() as connection:
            await connection.execute(text(GRAPH))

    async def write(self, passages: Sequence[Passage]) -> None:
        rows = [
            Chunk(
                id=UUID(one.id),
                title=one.title,
                content=one.content,
                extra=one.metadata,
                embedding=one.embedding,
            )
            for one in passages
        ]
        async with self._session() as session:
            await Chunks(session=session).add_many(rows)
            await session.commit()

    async def search(self, embedding: list[float], limit: int) -> int:
        nearest = select(Chunk).order_by(Chunk.embedding.cosine_distance(embedding)).limit(limit)
        async with self._session() as session:
            return len((await session.scalars(nearest)).all())

    async def get(self, key: str) -> None:
        async with self._session() as session:
            await Chunks(session=session).get(UUID(key))

    async def close(self) -> None:
        await self._engine.dispose()
