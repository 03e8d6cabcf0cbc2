"""The ports: what application services receive, and what PostgreSQL and the fakes both do."""

from domain.ports.authors import AuthorReader, AuthorRepository
from domain.ports.database import DatabasePort
from domain.ports.dependencies import DependencyBumpReader, DependencyBumpRepository
from domain.ports.federated_search import FederatedSearch
from domain.ports.knowledge import (
    EmbeddingMetadataReader,
    EmbeddingMetadataRepository,
    KnowledgeReader,
    KnowledgeRepository,
)
from domain.ports.learning import MemoryReader, MemoryRepository, PatternReader, PatternRepository
from domain.ports.reembedding import RepairReader, Repairs
from domain.ports.repository import AppendRepository, Progress, ReadRepository, Repository, Rows
from domain.ports.reviews import (
    FindingReader,
    FindingRepository,
    ReactionReader,
    ReactionRepository,
    ReviewReader,
    ReviewRepository,
)
from domain.ports.runs import CheckpointReader, CheckpointRepository, RunReader, RunRepository
from domain.ports.searchable import (
    SearchableEntity,
    SearchableReader,
    SearchableRepository,
    VectorReader,
)
from domain.ports.telemetry import TelemetryReader, TelemetryRepository
from domain.ports.unit_of_work import ReadUnitOfWork, UnitOfWork

__all__ = [
    "AppendRepository",
    "AuthorReader",
    "AuthorRepository",
    "CheckpointReader",
    "CheckpointRepository",
    "DatabasePort",
    "DependencyBumpReader",
    "DependencyBumpRepository",
    "EmbeddingMetadataReader",
    "EmbeddingMetadataRepository",
    "FederatedSearch",
    "FindingReader",
    "FindingRepository",
    "KnowledgeReader",
    "KnowledgeRepository",
    "MemoryReader",
    "MemoryRepository",
    "PatternReader",
    "PatternRepository",
    "Progress",
    "ReactionReader",
    "ReactionRepository",
    "ReadRepository",
    "ReadUnitOfWork",
    "RepairReader",
    "Repairs",
    "Repository",
    "ReviewReader",
    "ReviewRepository",
    "Rows",
    "RunReader",
    "RunRepository",
    "SearchableEntity",
    "SearchableReader",
    "SearchableRepository",
    "TelemetryReader",
    "TelemetryRepository",
    "UnitOfWork",
    "VectorReader",
]
