"""Databases to migrate: empty ones, and clones of a migrated one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.integration.migrations.support import opened

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from pydantic import SecretStr
    from sqlalchemy.ext.asyncio import AsyncEngine

    from repositories.testing.servers import TestServer


@pytest.fixture
def empty_url(server: TestServer) -> SecretStr:
    """A database with nothing but the extension."""
    return server.empty()


@pytest.fixture
async def empty(empty_url: SecretStr) -> AsyncIterator[AsyncEngine]:
    """An engine on it."""
    async with opened(empty_url) as engine:
        yield engine


@pytest.fixture
def migrated_url(server: TestServer) -> SecretStr:
    """A database at the newest revision."""
    return server.clone()


@pytest.fixture
async def migrated(migrated_url: SecretStr) -> AsyncIterator[AsyncEngine]:
    """An engine on it."""
    async with opened(migrated_url) as engine:
        yield engine
