"""Create the application: `uvicorn --factory examples.review_service.main:app`."""

from __future__ import annotations

from fastapi import FastAPI

from examples.review_service.api import create_app
from examples.review_service.embedder import HashedWords
from repositories import Database


def app() -> FastAPI:
    """Return the application. It opens the database of the environment when it starts."""
    return create_app(Database.from_env(), HashedWords())
