"""Helpers for the tests of migrations."""

from __future__ import annotations

import os
import subprocess
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import SecretStr
from sqlalchemy import make_url, text

from repositories.embedded.binaries import Installation
from repositories.migrations.environment import VERSIONS
from repositories.postgres.engine import create_engine
from repositories.postgres.settings import Settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from sqlalchemy.ext.asyncio import AsyncEngine

    from repositories.testing.servers import TestServer

HEAD = max(path.name[:4] for path in VERSIONS.glob("[0-9]*.py"))
NEXT, AFTER_NEXT = (f"{int(HEAD) + number:04d}" for number in (1, 2))
"""Revisions that tests write."""

newest = pytest.mark.parametrize("server", [18], indirect=True, ids=["postgres-18"])
"""For what is the same on every version of the server."""

INDEX = "operations.create_index_concurrently('ix_reviews_model', 'reviews', ['model'])"
"""The operations that such a revision may do."""

REVISION = """
from alembic import op

from repositories.migrations import revision_operations as operations

revision = "{revision}"
down_revision = "{down_revision}"


def upgrade() -> None:
    {upgrade}


def downgrade() -> None:
    {downgrade}
"""


@asynccontextmanager
async def opened(url: SecretStr) -> AsyncIterator[AsyncEngine]:
    """Lend an engine."""
    engine = create_engine(Settings(url=url))
    try:
        yield engine
    finally:
        await engine.dispose()


def as_superuser(server: TestServer, url: SecretStr) -> SecretStr:
    """Return the superuser's URL of the same database."""
    admin = make_url(server.server.admin_url.get_secret_value())
    database = make_url(url.get_secret_value()).database
    return SecretStr(admin.set(database=database).render_as_string(hide_password=False))


class Schema:
    """A database, and what pg_dump says of it."""

    def __init__(self, server: TestServer, url: SecretStr) -> None:
        self._url = make_url(url.get_secret_value())
        # The program beside the server's own: another version may not read its catalog.
        self._program = Installation.of(server.server.version).program("pg_dump")

    def dump(self) -> str:
        """Return the statements that create the schema, without the order of columns.

        A revision that computes a column again puts it at the end of its table.
        """
        url = self._url
        environment = {
            **os.environ,
            "PGPASSWORD": url.password or "",
            "PGHOST": str(url.query["host"]),
            "PGPORT": str(url.query["port"]),
        }
        command = [
            self._program,
            "--schema-only",
            "--no-owner",
            "--username",
            url.username or "",
            "--dbname",
            url.database or "",
        ]
        dumped = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=60, check=True
        ).stdout
        # A random word against tampering, different each time.
        lines = "\n".join(
            line
            for line in dumped.splitlines()
            if not line.startswith(("\\restrict", "\\unrestrict"))
        )
        entries = lines.split("\n--\n-- Name: ")
        return "\n".join(sorted(map(_in_order, entries)))


def _in_order(entry: str) -> str:
    return "\n".join(sorted(line.removesuffix(",") for line in entry.splitlines()))


async def execute(engine: AsyncEngine, *statements: str) -> None:
    """Execute statements, each committed."""
    for statement in statements:
        async with engine.begin() as connection:
            await connection.execute(text(statement))


async def scalar(engine: AsyncEngine, query: str, **parameters: Any) -> Any:
    """Return the one value that a query answers."""
    async with engine.connect() as connection:
        return await connection.scalar(text(query), parameters)


def write_revision(
    directory: Path,
    upgrade: str,
    *,
    downgrade: str = "pass",
    revision: str = NEXT,
    down_revision: str = HEAD,
) -> Path:
    """Write a revision that does `upgrade`; it comes after those of the package."""
    path = directory / f"{revision}_written.py"
    path.write_text(
        REVISION.format(
            revision=revision, down_revision=down_revision, upgrade=upgrade, downgrade=downgrade
        )
    )
    return path
