"""Bulk writes that take a chosen way, with a few rows."""

from __future__ import annotations

import pytest

from repositories.bulk import writing
from tests.integration.bulk.support import FEW, WAYS


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Each way that a bulk write can take, forced upon a few rows."""
    chosen: str = request.param
    copy_from, batch_size, in_memory = WAYS[chosen]
    monkeypatch.setattr(writing, "COPY_FROM", copy_from)
    monkeypatch.setattr(writing, "BATCH_SIZE", batch_size)
    if not in_memory:
        monkeypatch.setattr(writing, "in_memory", lambda _: False)
    if chosen == "batch after batch":
        monkeypatch.setattr(writing, "natural_key", lambda _: ())
    return chosen


@pytest.fixture
def in_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a batch be a few rows."""
    monkeypatch.setattr(writing, "BATCH_SIZE", FEW)


@pytest.fixture
def by_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let COPY write any number of new rows."""
    monkeypatch.setattr(writing, "COPY_FROM", 1)
