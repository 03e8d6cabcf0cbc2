"""Hostile queries and filters.

Hits of the own tenant, or an error of this library that a fake raises as well.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from domain import Diversity, InvalidFilter, KnowledgeChunk, Match, Recency, RecollectError, Vector
from domain.errors import DatabaseFailure
from repositories import Database, FakeDatabase
from tests.contract.suites.samples import memory
from tests.faults import hostile

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from pydantic import SecretStr

    from domain import ReadUnitOfWork, SearchHits
    from tests.faults.conftest import Effort, Promises

    Ask = Callable[[ReadUnitOfWork], Awaitable[SearchHits[Any]]]

PROMISE = "No query makes a search fail"
EMBEDDING = [1.0, 2.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0]
TEXTS = (
    "Retries are bounded by a deadline.",
    "getUserName reads src/config/parser.py",
    "or not; DROP TABLE knowledge",
)
REPO = "acme/api"


def _question(chance: random.Random) -> Ask:
    words, match = hostile.words(chance), chance.choice(list(Match))
    condition = hostile.filters(chance) if chance.random() < 0.6 else None
    repo = hostile.words(chance) if chance.random() < 0.3 else REPO
    match chance.randrange(8):
        case 0 | 1 | 2:
            return lambda view: view.knowledge.keyword_search(
                words, where=condition, match=match, explain=True
            )
        case 3:
            return lambda view: view.knowledge.vector_search(
                EMBEDDING, where=condition, min_score=0.1
            )
        case 4:
            return lambda view: view.knowledge.hybrid_search(
                words,
                EMBEDDING,
                where=condition,
                match=match,
                recency=Recency(),
                diversity=Diversity(),
            )
        case 5:
            return lambda view: view.memories.hybrid_search(
                words, EMBEDDING, repo=repo, match=match
            )
        case 6:
            return lambda view: view.findings.keyword_search(words, repo=repo, match=match)
        case _:
            return lambda view: view.corpora.search(words, EMBEDDING, repo=repo)


async def _filled(database: Any, tenant: str) -> None:
    async with database.unit_of_work(tenant=tenant) as uow:
        chunks = [
            KnowledgeChunk(
                chunk_id=f"{tenant}-{n}",
                source="a.md",
                source_type="doc",
                content=text,
                embedding=Vector(EMBEDDING),
            )
            for n, text in enumerate(TEXTS)
        ]
        await uow.knowledge.add_many(chunks)
        await uow.memories.add_many([memory(text, embedding=Vector(EMBEDDING)) for text in TEXTS])
        await uow.commit()


async def _outcome(view: ReadUnitOfWork, ask: Ask) -> tuple[type[RecollectError] | None, set[str]]:
    """Return the error and the tenants of what was found.

    An error of another kind, or of the server, ends the test.
    """
    try:
        hits = await ask(view)
    except DatabaseFailure:
        raise
    except RecollectError as error:
        return type(error), set()
    return None, {hit.item.tenant for hit in hits}


async def test_no_query_and_no_filter_breaks_a_search(
    database_url: SecretStr, effort: Effort, promises: Promises
) -> None:
    chance, queries, refused, leaks = random.Random(17), effort.times(200, 10_000), 0, 0
    fake = FakeDatabase(dimensions=len(EMBEDDING))
    async with Database.from_url(database_url, statement_timeout=5) as database:
        for tenant in ("default", "other"):
            await _filled(database, tenant)
        await _filled(fake, "default")
        async with database.reader() as view, fake.reader() as in_memory:
            for _ in range(queries):
                ask = _question(chance)
                error, tenants = await _outcome(view, ask)
                assert (await _outcome(in_memory, ask))[0] is error
                assert tenants <= {"default"}
                refused += error is not None
                leaks += bool(tenants)
        for tenant in ("default", "other"):
            async with database.reader(tenant=tenant) as view:
                assert await view.knowledge.count() == await view.memories.count() == len(TEXTS)
        broken = await _plain_errors(database, hostile.WORDS)
    assert refused > queries / 20
    assert leaks > queries / 5
    assert broken > 0
    promises(
        PROMISE,
        f"{queries:,} hostile queries and filters: {queries - refused:,} answered, {refused:,} "
        "refused by a typed error, the same in"
        " the fake; 0 other errors, 0 foreign rows, 0 of 5 s",
        control=f"to_tsquery raises for {broken} of {len(hostile.WORDS)} texts",
    )


async def _plain_errors(database: Database, words: tuple[str, ...]) -> int:
    """Return how many of the texts the plain way to ask raises for."""
    broken = 0
    for each in words:
        async with database.engine.connect() as connection:
            try:
                await connection.execute(
                    text("SELECT to_tsquery('english', :words)"), {"words": each}
                )
            except DBAPIError:
                broken += 1
    return broken


@pytest.mark.parametrize("levels", [60, 5_000])
async def test_a_filter_that_is_nested_too_deep_is_refused(database: Database, levels: int) -> None:
    deep = hostile.deep(levels)
    async with (
        database.unit_of_work() as uow,
        FakeDatabase(dimensions=len(EMBEDDING)).unit_of_work() as in_memory,
    ):
        for side in (uow.knowledge, in_memory.knowledge):
            for ask in (
                side.vector_search(EMBEDDING, where=deep),
                side.keyword_search("retries", where=deep),
                side.hybrid_search("retries", EMBEDDING, where=deep),
                side.count(deep),
                side.delete_where(deep),
            ):
                with pytest.raises(InvalidFilter, match="nested at most"):
                    await ask
