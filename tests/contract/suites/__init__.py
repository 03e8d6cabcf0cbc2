"""The contract of the library's operations, as test classes for PostgreSQL and the fakes.

Each suite uses one fixture, `store`, which `Store` describes.
"""

from tests.contract.suites.arguments import ArgumentsContract
from tests.contract.suites.authors import AuthorsContract
from tests.contract.suites.bounds import BoundsContract
from tests.contract.suites.bulk_changes import BulkChangesContract
from tests.contract.suites.checkpoints import CheckpointsContract
from tests.contract.suites.common import CommonContract
from tests.contract.suites.completion import CompletionContract, RunPurgeContract
from tests.contract.suites.concurrency import ConcurrentClaimsContract, ConcurrentWritesContract
from tests.contract.suites.dependencies import DependencyBumpsContract
from tests.contract.suites.distinct import DistinctContract, LimitContract, ThresholdsContract
from tests.contract.suites.embeddings import EmbeddingsContract
from tests.contract.suites.failures import FailureContract
from tests.contract.suites.federated_search import CorporaContract
from tests.contract.suites.filters import FiltersContract
from tests.contract.suites.hybrid_search import HybridSearchContract
from tests.contract.suites.json_filters import JsonFiltersContract
from tests.contract.suites.keyword_search import KeywordSearchContract
from tests.contract.suites.knowledge import EmbeddingMetadataContract, KnowledgeContract
from tests.contract.suites.learning import MemoriesContract, PatternsContract
from tests.contract.suites.listing import BatchesContract, ListingContract
from tests.contract.suites.plans import PlansContract
from tests.contract.suites.reactions import FeedbackPatternsContract, ReactionsContract
from tests.contract.suites.recall import (
    MemorySearchContract,
    NearestContract,
    RecallContract,
    SharedMemoriesContract,
)
from tests.contract.suites.recorder import RecorderContract
from tests.contract.suites.reembedding import RepairsContract
from tests.contract.suites.refused_filters import RefusedFiltersContract
from tests.contract.suites.reranking import DiversityContract, RecencyContract
from tests.contract.suites.reviews import (
    FindingsContract,
    PriorContract,
    StatsContract,
    SuppressionsContract,
    TrendsContract,
)
from tests.contract.suites.run_attempts import ConcurrentAttemptsContract, RunEventsContract
from tests.contract.suites.runs import ClaimsContract
from tests.contract.suites.search import VectorSearchContract
from tests.contract.suites.store import Store
from tests.contract.suites.telemetry import TelemetryContract, TelemetryPurgeContract, UsageContract
from tests.contract.suites.tracking import ReaddingContract, TrackingContract
from tests.contract.suites.transactions import IsolationContract, LedgerContract, RetryContract
from tests.contract.suites.unit_of_work import UnitOfWorkContract

__all__ = [
    "ArgumentsContract",
    "AuthorsContract",
    "BatchesContract",
    "BoundsContract",
    "BulkChangesContract",
    "CheckpointsContract",
    "ClaimsContract",
    "CommonContract",
    "CompletionContract",
    "ConcurrentAttemptsContract",
    "ConcurrentClaimsContract",
    "ConcurrentWritesContract",
    "CorporaContract",
    "DependencyBumpsContract",
    "DistinctContract",
    "DiversityContract",
    "EmbeddingMetadataContract",
    "EmbeddingsContract",
    "FailureContract",
    "FeedbackPatternsContract",
    "FiltersContract",
    "FindingsContract",
    "HybridSearchContract",
    "IsolationContract",
    "JsonFiltersContract",
    "KeywordSearchContract",
    "KnowledgeContract",
    "LedgerContract",
    "LimitContract",
    "ListingContract",
    "MemoriesContract",
    "MemorySearchContract",
    "NearestContract",
    "PatternsContract",
    "PlansContract",
    "PriorContract",
    "ReactionsContract",
    "ReaddingContract",
    "RecallContract",
    "RecencyContract",
    "RecorderContract",
    "RefusedFiltersContract",
    "RepairsContract",
    "RetryContract",
    "RunEventsContract",
    "RunPurgeContract",
    "SharedMemoriesContract",
    "StatsContract",
    "Store",
    "SuppressionsContract",
    "TelemetryContract",
    "TelemetryPurgeContract",
    "ThresholdsContract",
    "TrackingContract",
    "TrendsContract",
    "UnitOfWorkContract",
    "UsageContract",
    "VectorSearchContract",
]
