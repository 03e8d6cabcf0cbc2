"""Entities from the factories can be written unchanged."""

from __future__ import annotations

from typing import TYPE_CHECKING

from repositories.testing.factories import (
    AuthorCacheEntryFactory,
    CommittedOperationFactory,
    DependencyBumpMergeFactory,
    EmbeddingMetadataFactory,
    EmbeddingRepairFactory,
    GlobalPatternFactory,
    KnowledgeChunkFactory,
    LearningMemoryFactory,
    RateLimitEventFactory,
    ResilienceEventFactory,
    RetrievalQualityEventFactory,
    ReviewCheckpointFactory,
    RunStateFactory,
    TelemetryEventFactory,
    review_with_findings,
)

if TYPE_CHECKING:
    from repositories import Database, UnitOfWork

EACH = 3


async def write_all(uow: UnitOfWork) -> None:
    for _ in range(EACH):
        graph = review_with_findings(suppressed=1)
        graph.add_to(uow)
        uow.memories.add(LearningMemoryFactory.build(finding=graph.findings[0]))
        uow.knowledge.add(KnowledgeChunkFactory.build())
        uow.patterns.add(GlobalPatternFactory.build())
        uow.runs.add(RunStateFactory.build())
        uow.checkpoints.add(ReviewCheckpointFactory.build())
        uow.authors.add(AuthorCacheEntryFactory.build())
        uow.dependency_bumps.add(DependencyBumpMergeFactory.build())
        await uow.telemetry.record(TelemetryEventFactory.build())
        await uow.telemetry.record_rate_limit(RateLimitEventFactory.build())
        await uow.telemetry.record_retrieval_quality(RetrievalQualityEventFactory.build())
        await uow.telemetry.record_resilience(ResilienceEventFactory.build())
        await uow.knowledge.save_repair_state(EmbeddingRepairFactory.build())
        uow._transaction.add(CommittedOperationFactory.build())
    record = EmbeddingMetadataFactory.build()
    await uow.embedding_metadata.set(
        provider=record.provider, model=record.model, dimensions=record.dimensions
    )


async def test_all_entities_are_written_in_one_unit_of_work(database: Database) -> None:
    async with database.unit_of_work() as uow:
        await write_all(uow)
        await uow.flush()
        assert await uow.reviews.count() == EACH
        assert await uow.findings.count() == 3 * EACH
        assert await uow.reactions.count() == 2 * EACH
        repositories = (
            uow.memories,
            uow.knowledge,
            uow.patterns,
            uow.runs,
            uow.checkpoints,
            uow.authors,
            uow.dependency_bumps,
        )
        assert [await repository.count() for repository in repositories] == [EACH] * 7
        events = (
            uow.telemetry,
            uow.telemetry.rate_limits,
            uow.telemetry.retrieval_quality,
            uow.telemetry.resilience,
        )
        assert [await repository.count() for repository in events] == [EACH] * 4
        assert (await uow.embedding_metadata.get()).dimensions == 8
        # Not committed: the record of how it embeds is the database's own, and stays.
