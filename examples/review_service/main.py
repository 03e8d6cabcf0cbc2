"""Puts the application together: `uvicorn --factory examples.review_service.main:app`."""

from __future__ import annotations

from fastapi import FastAPI

from examples.review_service.api import create_app
from examples.review_service.embedder import HashedWords
from repositories import Database


def app() -> FastAPI:
    """Return the application on the database that the environment names, which is opened when the server starts."""
    return create_app(Database.from_env(), HashedWords())
