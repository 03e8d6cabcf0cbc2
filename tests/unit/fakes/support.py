"""Rows for the tests of the fakes, and turns of the event loop."""

from __future__ import annotations

import asyncio
from typing import Any

from domain import KnowledgeChunk, Review
from repositories.fakes import FakeDatabase


def chunk(name: str = "a", **values: Any) -> KnowledgeChunk:
    return KnowledgeChunk(
        **{"chunk_id": name, "source": "a.md", "source_type": "doc", "content": "text", **values}
    )


async def saved(database: FakeDatabase, *entities: Any) -> None:
    async with database.unit_of_work() as uow:
        for entity in entities:
            kinds: dict[Any, Any] = {Review: uow.reviews, KnowledgeChunk: uow.knowledge}
            kinds[type(entity)].add(entity)
        await uow.commit()


async def turns(number: int = 20) -> None:
    for _ in range(number):
        await asyncio.sleep(0)
