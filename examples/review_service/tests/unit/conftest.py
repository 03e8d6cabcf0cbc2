"""The application on a database in memory: one event loop, no socket, no server."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from fastapi import FastAPI
from httpx2 import ASGITransport, AsyncClient

from examples.review_service.api import Parts, create_app
from examples.review_service.embedder import HashedWords
from examples.review_service.service import ReviewService
from repositories import FakeDatabase


@pytest.fixture
def embedder(fake_database: FakeDatabase) -> HashedWords:
    return HashedWords(fake_database.dimensions)


@pytest.fixture
def service(fake_database: FakeDatabase, embedder: HashedWords) -> ReviewService:
    return ReviewService(fake_database, embedder, tenant="acme")


@pytest.fixture(scope="session")
def app() -> FastAPI:
    """The application, created once because that takes most of the time of a unit test."""
    return create_app(FakeDatabase(), HashedWords())


@pytest_asyncio.fixture
async def client(
    app: FastAPI, fake_database: FakeDatabase, embedder: HashedWords
) -> AsyncIterator[AsyncClient]:
    app.state.parts = Parts(fake_database, embedder)
    async with AsyncClient(transport=ASGITransport(app), base_url="http://reviews") as client:
        yield client
