"""A database in memory."""

from __future__ import annotations

import pytest

from repositories.fakes import FakeDatabase


@pytest.fixture
def database() -> FakeDatabase:
    return FakeDatabase(dimensions=3, lock_timeout=30)
