"""The contract: what every adapter of the ports has to do, as test classes to run on yours.

A suite asks for one fixture, `store`: your database, as `Store` describes it. Subclass what you want to hold to::

    from repositories.testing import contract

    class TestKnowledge(contract.KnowledgeContract): ...

    @pytest_asyncio.fixture
    async def store() -> AsyncIterator[contract.Store]:
        async with MyDatabase(...) as database:
            yield database
            await database.remove_all_rows()

Tests are coroutines: pytest-asyncio in auto mode runs them.
"""

from repositories.testing.contract.checkpoints import CheckpointsContract
from repositories.testing.contract.common import CommonContract
from repositories.testing.contract.completion import CompletionContract, RunPurgeContract
from repositories.testing.contract.concurrency import ConcurrentClaimsContract, ConcurrentWritesContract
from repositories.testing.contract.corpora import CorporaContract
from repositories.testing.contract.embeddings import EmbeddingsContract
from repositories.testing.contract.failures import FailureContract
from repositories.testing.contract.filters import FiltersContract
from repositories.testing.contract.history import AuthorsContract, DependencyBumpsContract
from repositories.testing.contract.knowledge import EmbeddingMetadataContract, KnowledgeContract
from repositories.testing.contract.learning import MemoriesContract, PatternsContract
from repositories.testing.contract.listing import ListingContract
from repositories.testing.contract.plans import PlansContract
from repositories.testing.contract.reactions import FeedbackPatternsContract, ReactionsContract
from repositories.testing.contract.recall import MemorySearchContract, NearestContract, RecallContract, SharedMemoriesContract
from repositories.testing.contract.recorder import RecorderContract
from repositories.testing.contract.repairs import RepairsContract
from repositories.testing.contract.reranking import DiversityContract, RecencyContract
from repositories.testing.contract.reviews import (
    FindingsContract,
    PriorContract,
    StatsContract,
    SuppressionsContract,
    TrendsContract,
)
from repositories.testing.contract.runs import ClaimsContract
from repositories.testing.contract.search import VectorSearchContract
from repositories.testing.contract.store import Store
from repositories.testing.contract.telemetry import TelemetryContract, TelemetryPurgeContract, UsageContract
from repositories.testing.contract.tracking import TrackingContract
from repositories.testing.contract.transactions import IsolationContract, LedgerContract, RetryContract
from repositories.testing.contract.unit_of_work import UnitOfWorkContract
from repositories.testing.contract.words import HybridSearchContract, KeywordSearchContract

__all__ = [
    "AuthorsContract",
    "CheckpointsContract",
    "ClaimsContract",
    "CommonContract",
    "CompletionContract",
    "ConcurrentClaimsContract",
    "ConcurrentWritesContract",
    "CorporaContract",
    "DependencyBumpsContract",
    "DiversityContract",
    "EmbeddingMetadataContract",
    "EmbeddingsContract",
    "FailureContract",
    "FeedbackPatternsContract",
    "FiltersContract",
    "FindingsContract",
    "HybridSearchContract",
    "IsolationContract",
    "KeywordSearchContract",
    "KnowledgeContract",
    "LedgerContract",
    "ListingContract",
    "MemoriesContract",
    "MemorySearchContract",
    "NearestContract",
    "PatternsContract",
    "PlansContract",
    "PriorContract",
    "ReactionsContract",
    "RecallContract",
    "RecencyContract",
    "RecorderContract",
    "RepairsContract",
    "RetryContract",
    "RunPurgeContract",
    "SharedMemoriesContract",
    "StatsContract",
    "Store",
    "SuppressionsContract",
    "TelemetryContract",
    "TelemetryPurgeContract",
    "TrackingContract",
    "TrendsContract",
    "UnitOfWorkContract",
    "UsageContract",
    "VectorSearchContract",
]
