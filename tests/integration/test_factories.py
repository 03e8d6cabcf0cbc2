"""Entities from the factories can be written unchanged."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

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
    from domain import ReadRepository
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
        repositories: dict[str, ReadRepository[Any]] = {
            "memories": uow.memories,
            "knowledge": uow.knowledge,
            "patterns": uow.patterns,
            "runs": uow.runs,
            "checkpoints": uow.checkpoints,
            "authors": uow.authors,
            "dependency bumps": uow.dependency_bumps,
            "telemetry": uow.telemetry,
            "rate limits": uow.telemetry.rate_limits,
            "retrieval quality": uow.telemetry.retrieval_quality,
            "resilience": uow.telemetry.resilience,
        }
        counts = {name: await repository.count() for name, repository in repositories.items()}
        assert counts == dict.fromkeys(repositories, EACH)
        assert (await uow.embedding_metadata.get()).dimensions == 8
        # Not committed: the record of how it embeds is the database's own, and stays.
