"""The application's Alembic environment; its revisions come after the library's."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from alembic import context

from examples.review_labels import labels, notes  # noqa: F401 -- registers the entities
from repositories import Database
from repositories.migrations.application import application_migrations

if TYPE_CHECKING:
    from sqlalchemy import Connection


def run(connection: Connection) -> None:
    context.configure(**application_migrations(connection))
    with context.begin_transaction():
        context.run_migrations()


async def main() -> None:
    async with Database.from_env() as database, database.engine.connect() as connection:
        await connection.run_sync(run)


if (connection := context.config.attributes.get("connection")) is not None:
    run(connection)
else:
    asyncio.run(main())
