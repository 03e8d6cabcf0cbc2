"""What users write and type checkers must accept; checked, never run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import assert_type
from uuid import UUID

from domain import (
    Category,
    Finding,
    KnowledgeChunk,
    Page,
    ReadUnitOfWork,
    Review,
    SearchHits,
    Severity,
    UnitOfWork,
    Vector,
    where,
)
from repositories import Database
from repositories.unit_of_work import ReadUnitOfWork as PostgresReader
from repositories.unit_of_work import UnitOfWork as PostgresUnitOfWork


def the_postgres_unit_of_work_is_one(uow: PostgresUnitOfWork) -> UnitOfWork:
    return uow


def the_postgres_reader_is_one(view: PostgresReader) -> ReadUnitOfWork:
    return view


async def a_service(uow: UnitOfWork, view: ReadUnitOfWork, key: UUID, embedding: Sequence[float]) -> None:
    review = uow.reviews.add(Review(repo="acme/api", pr_number=7))
    assert_type(review, Review)
    assert_type(review.created_at, datetime | None)
    finding = Finding(
        review_id=review.id,
        repo="acme/api",
        file_path="api.py",
        title="Retries never end",
        severity=Severity.MAJOR,
        category=Category.CORRECTNESS,
        confidence=90,
    )
    assert_type(await uow.findings.add_many([finding]), int)
    assert_type(await view.findings.get(key), Finding)
    assert_type(await view.findings.find(key), Finding | None)
    assert_type(await view.findings.get_many([key]), Mapping[UUID, Finding])
    assert_type(await view.knowledge.page(where("repo").equals("acme/api")), Page[KnowledgeChunk])
    assert_type(await view.knowledge.hybrid_search("retries", embedding), SearchHits[KnowledgeChunk])
    chunk = KnowledgeChunk(chunk_id="a", source="a.md", source_type="doc", content="text", embedding=Vector([1.0]))
    assert_type(chunk.embedding, Vector | None)
    async for found in view.knowledge.stream():
        assert_type(found, KnowledgeChunk)


async def an_application(database: Database) -> None:
    async def work(uow: UnitOfWork) -> int:
        return await uow.reviews.count()

    assert_type(await database.run(work), int)
    async with database.reader() as view:
        assert_type(view, PostgresReader)
