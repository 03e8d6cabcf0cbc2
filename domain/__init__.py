"""Entities, values, ports and errors of a code-review agent's memory, without a driver.

A name is imported from its module when it is first used, so that an import of an error loads no
table. `__init__.pyi` declares the names for type checkers.
"""

from importlib import import_module
from typing import Any, Final

_HOMES: Final = {
    "pgvector": "Vector",
    "domain.values.claims": (
        "ALLOWED_CHANGES STALE_RUN_AFTER ClaimOutcome RunClaim RunStatus run_key"
    ),
    "domain.values.classification": "Category Severity",
    "domain.values.embedding": "DEFAULT_DIMENSIONS Embedder Embedding VectorLike known_dimensions",
    "domain.schema.base": "ApplicationEntity Entity",
    "domain.schema.registries": "application_metadata metadata",
    "domain.schema.searchable": "Searchable searchable",
    "domain.schema.constraints": "index references unique unique_where_not_null",
    "domain.errors": (
        "AccessDenied AlreadyCommitted AlreadyExists BackupDamaged BackupError InvalidBackup "
        "CheckViolated CommitOutcomeUnknown ConfigurationError Conflict ConnectionLost "
        "ConstraintViolated DatabaseFailure DatabaseUnavailable EmbeddedServerError "
        "EmbeddingMismatch InvalidCursor InvalidEmbedding InvalidEntity InvalidFilter "
        "InvalidInput LeaseLost LockTimeout MigrationFailed MissingValue NotFound "
        "NotRegistered RegistrationError RowLevelSecurityRequired NotLoaded PoolExhausted "
        "ReadOnly RecollectError RecorderClosed ReferenceViolated ResourceExhausted "
        "SchemaError SchemaOutdated StalePlan StatementTimeout TenantMismatch "
        "TransactionAborted UnexpectedFailure UnitOfWorkClosed UnitOfWorkError"
    ),
    "domain.values.filters": "Filter Where where",
    "domain.entities.authors": "AuthorCacheEntry AuthorTier",
    "domain.entities.dependencies": (
        "AdvisorySeverity AdvisoryStatus BumpSource DependencyBumpMerge MergeConfidence SemverBump"
    ),
    "domain.values.insights": "FeedbackPattern FileCount RepoStats TrendDay",
    "domain.values.fingerprints": "title_fingerprint",
    "domain.values.jsonb": "Json JsonObject",
    "domain.entities.knowledge": "EmbeddingMetadata KnowledgeChunk",
    "domain.entities.learning": "ConfidenceBand GlobalPattern LearningMemory Outcome",
    "domain.entities.maintenance": "EmbeddingRepair CommittedOperation RepairStatus",
    "domain.values.paging": "Cursor Page",
    "domain.values.plans": "SearchPlan",
    "domain.ports": (
        "AppendRepository AuthorReader AuthorRepository CheckpointReader CheckpointRepository "
        "DatabasePort DependencyBumpReader DependencyBumpRepository EmbeddingMetadataReader "
        "EmbeddingMetadataRepository FederatedSearch FindingReader FindingRepository "
        "KnowledgeReader KnowledgeRepository MemoryReader MemoryRepository PatternReader "
        "PatternRepository Progress ReactionReader ReactionRepository ReadRepository "
        "ReadUnitOfWork RepairReader Repairs Repository ReviewReader ReviewRepository Rows "
        "RunReader RunRepository SearchableEntity SearchableReader SearchableRepository "
        "TelemetryReader TelemetryRepository "
        "UnitOfWork VectorReader"
    ),
    "domain.results": "PriorFinding Recall RecalledMemory Remembered",
    "domain.values.reembedding": "RepairCandidate RepairedEmbedding",
    "domain.values.reranking": "Diversity Recency maximal_marginal_relevance",
    "domain.entities.reviews": "FeedbackReaction Finding Reaction Review SuppressionLogEntry",
    "domain.entities.runs": "CheckpointData ReviewCheckpoint RunState",
    "domain.values.rank_fusion": "RRF_K reciprocal_rank_fusion",
    "domain.values.scores": "keyword_score vector_score",
    "domain.values.search": "Corpus Distance Match SearchHit SearchHits Weights",
    "domain.entities.telemetry": (
        "RateLimitEvent ResilienceEvent ResilienceKind RetrievalQualityEvent TelemetryEvent"
    ),
    "domain.values.transactions": "Isolation",
    "domain.values.usage": "Usage UsageBy",
}
_HOME_OF: Final = {name: module for module, names in _HOMES.items() for name in names.split()}
_CONTEXTS: Final = [module for module in _HOMES if module.startswith("domain.entities.")]

__all__ = sorted(_HOME_OF)  # noqa: PLE0605  # pyright: ignore[reportUnsupportedDunderAll] -- the stub has them one by one


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name == "metadata":
        # The metadata is complete when every entity has been imported.
        for module in _CONTEXTS:
            import_module(module)
    value = globals()[name] = getattr(import_module(_HOME_OF[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
