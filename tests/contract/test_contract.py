"""The contract, run on every store."""

from __future__ import annotations

import pytest

from repositories.testing import contract


class TestAuthors(contract.AuthorsContract): ...


class TestCheckpoints(contract.CheckpointsContract): ...


class TestClaims(contract.ClaimsContract): ...


class TestCommon(contract.CommonContract): ...


class TestCompletion(contract.CompletionContract): ...


class TestConcurrentClaims(contract.ConcurrentClaimsContract):
    @pytest.fixture(autouse=True)
    def few_rounds_where_nothing_new_is_to_be_learned(self, request: pytest.FixtureRequest) -> None:
        if "postgres-16" in request.node.name:
            self.rounds = 20


class TestConcurrentWrites(contract.ConcurrentWritesContract): ...


class TestCorpora(contract.CorporaContract): ...


class TestDependencyBumps(contract.DependencyBumpsContract): ...


class TestDiversity(contract.DiversityContract): ...


class TestEmbeddingMetadata(contract.EmbeddingMetadataContract): ...


class TestEmbeddings(contract.EmbeddingsContract): ...


class TestFailure(contract.FailureContract): ...


class TestFeedbackPatterns(contract.FeedbackPatternsContract): ...


class TestFilters(contract.FiltersContract): ...


class TestFindings(contract.FindingsContract): ...


class TestHybridSearch(contract.HybridSearchContract): ...


class TestKeywordSearch(contract.KeywordSearchContract): ...


class TestKnowledge(contract.KnowledgeContract): ...


class TestListing(contract.ListingContract): ...


class TestMemories(contract.MemoriesContract): ...


class TestMemorySearch(contract.MemorySearchContract): ...


class TestNearest(contract.NearestContract): ...


class TestPatterns(contract.PatternsContract): ...


class TestPlans(contract.PlansContract): ...


class TestPrior(contract.PriorContract): ...


class TestReactions(contract.ReactionsContract): ...


class TestRecall(contract.RecallContract): ...


class TestRecency(contract.RecencyContract): ...


class TestRepairs(contract.RepairsContract): ...


class TestRetry(contract.RetryContract): ...


class TestRunPurge(contract.RunPurgeContract): ...


class TestSharedMemories(contract.SharedMemoriesContract): ...


class TestStats(contract.StatsContract): ...


class TestSuppressions(contract.SuppressionsContract): ...


class TestTelemetry(contract.TelemetryContract): ...


class TestTelemetryPurge(contract.TelemetryPurgeContract): ...


class TestTracking(contract.TrackingContract): ...


class TestTrends(contract.TrendsContract): ...


class TestUnitOfWork(contract.UnitOfWorkContract): ...


class TestUsage(contract.UsageContract): ...


class TestVectorSearch(contract.VectorSearchContract): ...
