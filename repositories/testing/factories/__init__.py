"""Factories (factory_boy) for every entity: valid by default, the same again after `seed`.

`FindingFactory.build(review=review, severity=Severity.MINOR)` builds one, `build_batch(3)` several;
nothing is written. Pass the parent of an entity (`review=`, `finding=`), whose facts the entity
repeats. `review_with_findings()` builds a graph.
"""

from repositories.testing.factories.authors import AuthorCacheEntryFactory
from repositories.testing.factories.base import EntityFactory, new_embedding, new_id, seed
from repositories.testing.factories.dependencies import DependencyBumpMergeFactory
from repositories.testing.factories.graphs import ReviewGraph, review_with_findings
from repositories.testing.factories.knowledge import EmbeddingMetadataFactory, KnowledgeChunkFactory
from repositories.testing.factories.learning import GlobalPatternFactory, LearningMemoryFactory
from repositories.testing.factories.maintenance import (
    CommittedOperationFactory,
    EmbeddingRepairFactory,
)
from repositories.testing.factories.reviews import (
    FeedbackReactionFactory,
    FindingFactory,
    ReviewFactory,
    SuppressionLogEntryFactory,
)
from repositories.testing.factories.runs import ReviewCheckpointFactory, RunStateFactory
from repositories.testing.factories.telemetry import (
    RateLimitEventFactory,
    ResilienceEventFactory,
    RetrievalQualityEventFactory,
    TelemetryEventFactory,
)

__all__ = [
    "AuthorCacheEntryFactory",
    "CommittedOperationFactory",
    "DependencyBumpMergeFactory",
    "EmbeddingMetadataFactory",
    "EmbeddingRepairFactory",
    "EntityFactory",
    "FeedbackReactionFactory",
    "FindingFactory",
    "GlobalPatternFactory",
    "KnowledgeChunkFactory",
    "LearningMemoryFactory",
    "RateLimitEventFactory",
    "ResilienceEventFactory",
    "RetrievalQualityEventFactory",
    "ReviewCheckpointFactory",
    "ReviewFactory",
    "ReviewGraph",
    "RunStateFactory",
    "SuppressionLogEntryFactory",
    "TelemetryEventFactory",
    "new_embedding",
    "new_id",
    "review_with_findings",
    "seed",
]
