"""What keyword search has to know of a table it knows of the rows that are alive."""

from __future__ import annotations

from typing import TYPE_CHECKING

from domain import where
from repositories.testing.contract.samples import chunk

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from domain import KnowledgeChunk
    from repositories import Database

KEPT = ("a deadline", "a deadline bounds every retry that waits for it", "no word of it")
PADDING = " ".join(f"word{number}" for number in range(300))


async def _write(database: Database, *groups: Sequence[KnowledgeChunk]) -> None:
    async with database.unit_of_work() as uow:
        for group in groups:
            await uow.knowledge.add_many(group)
        await uow.commit()


async def _scores(database: Database) -> Mapping[str, float]:
    async with database.reader() as view:
        return {hit.item.content: hit.score for hit in await view.knowledge.keyword_search("deadline")}


async def test_rows_that_were_deleted_change_no_score(database: Database) -> None:
    kept = [chunk(content=content) for content in KEPT]
    await _write(database, kept)
    fresh = await _scores(database)
    assert len(fresh) == 2
    async with database.unit_of_work() as uow:
        await uow.knowledge.reset()
        await uow.commit()
    # Behind many pages of rows that are gone: a sample of some of the pages sees none of those that are left.
    await _write(database, [chunk(content=PADDING, repo="gone") for _ in range(400)], [chunk(content=content) for content in KEPT])
    async with database.unit_of_work() as uow:
        await uow.knowledge.delete_where(where("repo").equals("gone"))
        await uow.commit()
    assert await _scores(database) == fresh
