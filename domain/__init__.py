"""The vocabulary of a code-review agent's memory: entities, values, ports and errors. No driver, no engine.

A name is imported from its module when it is first used: whoever needs an error waits for no table. `__init__.pyi` says the same to
type checkers.
"""

from importlib import import_module
from typing import Any, Final

_HOMES: Final = {
    "pgvector": "Vector",
    "domain.claims": "ClaimOutcome RunClaim run_key",
    "domain.classification": "Category Severity",
    "domain.corpora": "Remembered",
    "domain.embedding": "DEFAULT_DIMENSIONS Embedder Embedding VectorLike known_dimensions",
    "domain.entity": "Entity metadata",
    "domain.errors": (
        "AccessDenied AlreadyExists BackupDamaged BackupError BackupUnfit CheckViolated CommitOutcomeUnknown ConfigurationError "
        "Conflict ConnectionLost ConstraintViolated DatabaseFailure DatabaseUnavailable EmbeddedServerError EmbeddingMismatch "
        "InvalidCursor InvalidEmbedding InvalidFilter InvalidInput LockTimeout MigrationFailed MissingValue NotFound NotIsolated "
        "NotLoaded PoolExhausted ReadOnly RecollectError RecorderClosed ReferenceViolated ResourceExhausted SchemaError "
        "SchemaOutdated StalePlan StatementTimeout TenantMismatch TransactionPoisoned UnexpectedFailure UnitOfWorkClosed "
        "UnitOfWorkError"
    ),
    "domain.filters": "Filter Where where",
    "domain.history": (
        "AdvisorySeverity AdvisoryStatus AuthorCacheEntry AuthorTier BumpSource DependencyBumpMerge MergeConfidence SemverBump"
    ),
    "domain.insights": "FeedbackPattern FileCount PriorFinding RepoStats TrendDay title_fingerprint",
    "domain.jsonb": "Json JsonObject",
    "domain.knowledge": "EmbeddingMetadata KnowledgeChunk",
    "domain.learning": "ConfidenceBand GlobalPattern LearningMemory Outcome",
    "domain.maintenance": "EmbeddingRepair Operation RepairStatus",
    "domain.paging": "Cursor Page",
    "domain.plans": "SearchPlan",
    "domain.ports": (
        "AuthorReader AuthorRepository CheckpointReader CheckpointRepository DependencyBumpReader DependencyBumpRepository "
        "EmbeddingMetadataReader EmbeddingMetadataRepository FederatedSearch FindingReader FindingRepository KnowledgeReader "
        "KnowledgeRepository MemoryReader MemoryRepository PatternReader PatternRepository Progress ReactionReader "
        "ReactionRepository ReadRepository ReadUnitOfWork Repairs Repository ReviewReader ReviewRepository Rows RunReader "
        "RunRepository SuppressionReader SuppressionRepository TelemetryReader TelemetryRepository UnitOfWork"
    ),
    "domain.recall": "Recall RecalledMemory RepairCandidate RepairedEmbedding",
    "domain.reranking": "Diversity Recency maximal_marginal_relevance",
    "domain.reviews": "FeedbackReaction Finding Reaction Review SuppressionLogEntry",
    "domain.runs": "ALLOWED_CHANGES STALE_RUN_AFTER CheckpointData ReviewCheckpoint RunState RunStatus",
    "domain.search": "RRF_K Corpus Distance Match SearchHit SearchHits Weights keyword_score reciprocal_rank_fusion vector_score",
    "domain.telemetry": "RateLimitEvent ResilienceEvent ResilienceKind RetrievalQualityEvent TelemetryEvent",
    "domain.transactions": "Isolation",
    "domain.usage": "Usage UsageBy",
}
_HOME_OF: Final = {name: module for module, names in _HOMES.items() for name in names.split()}
_WITH_TABLES: Final = ("history", "knowledge", "learning", "maintenance", "reviews", "runs", "telemetry")

__all__ = sorted(_HOME_OF)  # noqa: PLE0605  # pyright: ignore[reportUnsupportedDunderAll] -- the stub has them one by one


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name == "metadata":
        # Whoever asks for all tables gets all of them.
        for module in _WITH_TABLES:
            import_module(f"{__name__}.{module}")
    found = globals()[name] = getattr(import_module(_HOME_OF[name]), name)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
