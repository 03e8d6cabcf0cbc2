"""Helpers for the tests of the engine: tables, column types, and sessions of the server."""

from __future__ import annotations

import asyncio
import os
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import Column, Integer, MetaData, Table, Text, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import UserDefinedType

from repositories.postgres.engine import create_engine
from repositories.postgres.pool import GuardedPool
from repositories.postgres.settings import Settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

SECRET = "canary-7Qx"
on_posix = pytest.mark.skipif(os.name == "nt", reason="the embedded server runs on Linux and macOS")


class VectorType(UserDefinedType[Any]):
    """A minimal column type that passes vectors to the driver unchanged."""

    cache_ok = True
    render_bind_cast = True

    def __init__(self, name: str = "vector", dimensions: int = 3) -> None:
        self.name, self.dimensions = name, dimensions

    def get_col_spec(self, **_: object) -> str:
        return f"{self.name}({self.dimensions})"


metadata = MetaData()
parents = Table("parents", metadata, Column("id", Integer, primary_key=True))
notes = Table(
    "notes",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("parent_id", Integer),
    Column("email", Text, nullable=False),
    Column("data", JSONB),
    Column("embedding", VectorType()),
)
SCHEMA = (
    "CREATE TABLE parents (id int CONSTRAINT pk_parents PRIMARY KEY)",
    "CREATE TABLE notes (id int CONSTRAINT pk_notes PRIMARY KEY, parent_id int CONSTRAINT "
    "fk_notes_parent REFERENCES parents,"
    " email text NOT NULL CONSTRAINT uq_notes_email UNIQUE CONSTRAINT ck_notes_email CHECK (email "
    "<> 'bad'),"
    " data jsonb, embedding vector(3))",
    "INSERT INTO parents VALUES (1)",
)


@asynccontextmanager
async def opened(settings: Settings, *, readonly: bool = False) -> AsyncIterator[AsyncEngine]:
    engine = create_engine(settings, readonly=readonly)
    try:
        yield engine
    finally:
        await engine.dispose()


async def terminate(engine: AsyncEngine, pid: int) -> None:
    async with engine.connect() as other:
        await other.execute(text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": pid})


def pool(engine: AsyncEngine) -> GuardedPool:
    assert isinstance(engine.pool, GuardedPool)
    return engine.pool


async def pid_of_sleeper(engine: AsyncEngine) -> int:
    query = text(
        "SELECT pid FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%' AND wait_event = "
        "'PgSleep'"
    )
    async with asyncio.timeout(5), engine.connect() as other:
        while (pid := (await other.execute(query)).scalar()) is None:
            await other.rollback()
            await asyncio.sleep(0.01)
        return int(pid)


async def pid_of(connection: AsyncConnection) -> int:
    return int((await connection.execute(text("SELECT pg_backend_pid()"))).scalar_one())
