"""Bulk writes of tenants in turn, into a table with the rows of many others, on real text."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Final

from pgvector import Vector
from uuid_utils.compat import uuid7

from bench.fixture import COLUMNS
from bench.measuring import Figure, Way, compare, driver_of
from domain import KnowledgeChunk

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.populations import Corpus
    from repositories import Database

WRITERS: Final = tuple(f"writer-{number:02d}" for number in range(5))
BATCH: Final = 1_000
"""Rows of a tenant that are committed together, before the next tenant writes."""

MAX_RATIO: Final = 1 / (0.85 * 0.95)
"""The most time beside COPY: the target of a bulk write, and five percent."""


@dataclass
class _Batches:
    """New rows of each writer, as entities and as records of the driver."""

    corpus: Corpus
    written: int = 0
    chunks: dict[str, Sequence[KnowledgeChunk]] = field(default_factory=dict)

    async def renew(self) -> None:
        """Make rows that were not written before."""
        self.chunks = {writer: [self._chunk() for _ in range(BATCH)] for writer in WRITERS}

    def _chunk(self) -> KnowledgeChunk:
        self.written += 1
        passage = self.written % len(self.corpus.texts)
        return KnowledgeChunk(
            id=uuid7(),
            chunk_id=f"written {self.written}",
            repo=self.corpus.packages[passage],
            source=self.corpus.packages[passage],
            source_type="code",
            content=self.corpus.texts[passage],
            embedding=Vector(self.corpus.vectors[passage]),
        )

    async def copy(self, database: Database) -> None:
        for writer, chunks in self.chunks.items():
            async with database.engine.begin() as connection:
                driver = await driver_of(connection)
                await connection.exec_driver_sql("SELECT 1")  # begins the transaction
                records = [_record(writer, chunk) for chunk in chunks]
                await driver.copy_records_to_table("knowledge", records=records, columns=COLUMNS)

    async def add_many(self, database: Database) -> None:
        for writer, chunks in self.chunks.items():
            async with database.unit_of_work(tenant=writer) as uow:
                await uow.knowledge.add_many(chunks)
                await uow.commit()


def _record(tenant: str, chunk: KnowledgeChunk) -> tuple[object, ...]:
    digest = hashlib.sha256(chunk.content.encode()).digest()
    names = (chunk.id, chunk.chunk_id, chunk.repo, chunk.source, chunk.source_type)
    return (tenant, *names, chunk.content, "{}", digest, chunk.embedding)


async def bulk_writes(database: Database, corpus: Corpus, *, rounds: int) -> Sequence[Figure]:
    """Compare `add_many` with COPY by the driver: the same rows, batches and transactions."""
    batches = _Batches(corpus)
    ways = [
        Way(name=name, run=partial(run, database), prepare=batches.renew)
        for name, run in (
            ("COPY by the driver", batches.copy),
            ("knowledge.add_many", batches.add_many),
        )
    ]
    rows = len(WRITERS) * BATCH
    work = f"write {rows:,} passages of {len(WRITERS)} tenants in turn"
    return await compare(work, ways, rounds=rounds, size=rows)
