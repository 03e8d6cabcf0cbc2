"""Code of users that type checkers must accept; it is checked and never run."""

# pyright: strict

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import assert_type
from uuid import UUID

from sqlalchemy import Row, func, select, update
from sqlmodel import col

from domain import (
    ApplicationEntity,
    Category,
    DatabasePort,
    Embedder,
    Finding,
    KnowledgeChunk,
    LearningMemory,
    Outcome,
    Page,
    ReadRepository,
    ReadUnitOfWork,
    Repository,
    RepoStats,
    Review,
    ReviewReader,
    ReviewRepository,
    Searchable,
    SearchableRepository,
    SearchHits,
    Severity,
    TrendDay,
    UnitOfWork,
    Vector,
    searchable,
    where,
)
from domain.values.text import Name
from repositories import Database, FakeDatabase, tenant_equals
from repositories.testing.factories import (
    EntityFactory,
    FindingFactory,
    ReviewFactory,
    review_with_findings,
)
from repositories.unit_of_work import ReadUnitOfWork as PostgresReader
from repositories.unit_of_work import UnitOfWork as PostgresUnitOfWork


def the_postgres_unit_of_work_is_one(uow: PostgresUnitOfWork) -> UnitOfWork:
    return uow


def the_postgres_reader_is_one(view: PostgresReader) -> ReadUnitOfWork:
    return view


async def repositories_by_entity_and_by_port(uow: UnitOfWork, view: ReadUnitOfWork) -> None:
    assert_type(uow.repository(Review), Repository[Review])
    assert_type(view.repository(Review), ReadRepository[Review])
    assert_type(uow.provide(ReviewRepository), ReviewRepository)
    assert_type(view.provide(ReviewReader), ReviewReader)


async def a_service(
    uow: UnitOfWork, view: ReadUnitOfWork, key: UUID, embedding: Sequence[float]
) -> None:
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
    assert_type(
        await view.knowledge.hybrid_search("retries", embedding), SearchHits[KnowledgeChunk]
    )
    chunk = KnowledgeChunk(
        chunk_id="a", source="a.md", source_type="doc", content="text", embedding=Vector([1.0])
    )
    assert_type(chunk.embedding, Vector | None)
    chunk.embedding = embedding
    chunk.embedding = None
    async for each in view.knowledge.stream():
        assert_type(each, KnowledgeChunk)


class Note(Searchable, ApplicationEntity, table=True):
    __tablename__ = "typing_notes"
    __table_args__ = (*searchable("body", title="A", body="C"),)

    title: Name
    body: str


async def an_entity_of_ones_own(uow: UnitOfWork, embedding: Sequence[float]) -> None:
    notes = uow.repository(Note)
    assert_type(notes, SearchableRepository[Note])
    note = notes.add(Note(title="Retries", body="They end.", embedding=[1.0, 0.0, 0.0]))
    assert_type(note.embedding, Vector | None)
    note.embedding = embedding
    assert_type(await notes.hybrid_search("retries", embedding), SearchHits[Note])


class OwnEmbedder:
    """The entities of an application."""

    provider, model, dimensions = "own", "model", 3

    async def embed(self, texts: Sequence[str]) -> Sequence[Vector]:
        return [Vector([1.0, 0.0, 0.0]) for _ in texts]


def both_databases_are_what_services_ask_for(
    database: Database, fake: FakeDatabase
) -> list[DatabasePort]:
    return [database, fake]


async def a_service_of_ones_own(memory: DatabasePort, embedder: Embedder, finding_id: UUID) -> bool:
    async with memory.reader(tenant="acme") as view:
        finding = await view.findings.get(finding_id)
        assert_type(
            await view.memories.exists_for(finding.repo, finding.id, Outcome.ACCEPTED), bool
        )
    [embedding] = await embedder.embed([finding.title])
    learned = LearningMemory(
        repo=finding.repo,
        owner="acme",
        source_repo=finding.repo,
        finding_text=finding.title,
        severity=finding.severity,
        category=finding.category,
        file_path=finding.file_path,
        outcome=Outcome.ACCEPTED,
        embedding_model=embedder.model,
        embedding=embedding,
    )
    assert_type(learned.embedding, Vector | None)

    async def work(uow: UnitOfWork) -> int:
        recall = await uow.memories.recall(
            embedding, finding.title, repo=finding.repo, owner="acme"
        )
        assert_type([recalled.hit.item for recalled in recall.memories], list[LearningMemory])
        return len(recall.memories)

    assert_type(await memory.run(work, tenant="acme"), int)
    await a_service_of_ones_own(memory, OwnEmbedder(), finding_id)
    async with memory.unit_of_work(tenant="acme") as uow:
        assert_type(
            (
                await uow.runs.claim(
                    "a/b", 1, base_sha="b", head_sha="h", delivery_id="d", action="opened"
                )
            ).claimed,
            bool,
        )
        assert_type(await uow.reviews.stats("a/b"), RepoStats)
        assert_type(await uow.reviews.trends("a/b", days=7), Sequence[TrendDay])
        return await uow.reviews.delete(finding_id)


async def statements_of_ones_own(uow: PostgresUnitOfWork, view: PostgresReader) -> None:
    assert_type((await uow.scalars(select(Review))).all(), Sequence[Review])
    counts = await view.execute(select(col(Review.repo), func.count()))
    assert_type(counts.all(), Sequence[Row[str, int]])
    changed = await uow.execute(update(Review).values(conclusion="done"))
    assert_type(changed.rowcount, int)
    async for row in view.stream(select(col(Review.repo)).where(tenant_equals(Review, "acme"))):
        assert_type(row, Row[str])


class OwnReviewFactory(ReviewFactory):
    repo = "acme/api"


class NoteFactory(EntityFactory[Note]):
    title = "Retries"


def tests_of_ones_own() -> None:
    assert_type(OwnReviewFactory.build(pr_number=7), Review)
    assert_type(NoteFactory.build_batch(2, body="They end."), list[Note])
    assert_type(FindingFactory.build(), Finding)
    assert_type(ReviewFactory.build_batch(2), list[Review])
    assert_type(review_with_findings().findings, tuple[Finding, ...])


async def an_application(database: Database) -> None:
    async def work(uow: UnitOfWork) -> int:
        return await uow.reviews.count()

    assert_type(await database.run(work), int)
    async with database.reader() as view:
        assert_type(view, PostgresReader)
