"""The contract, run on every store."""

from __future__ import annotations

from repositories.testing import contract


class TestCommon(contract.CommonContract): ...


class TestEmbeddingMetadata(contract.EmbeddingMetadataContract): ...


class TestEmbeddings(contract.EmbeddingsContract): ...


class TestFailure(contract.FailureContract): ...


class TestFilters(contract.FiltersContract): ...


class TestKnowledge(contract.KnowledgeContract): ...


class TestListing(contract.ListingContract): ...


class TestRepairs(contract.RepairsContract): ...


class TestRun(contract.RunContract): ...


class TestTracking(contract.TrackingContract): ...


class TestUnitOfWork(contract.UnitOfWorkContract): ...
