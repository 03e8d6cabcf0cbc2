"""What a database says of itself, whatever revision it is at, as facts for a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from repositories import migrations
from repositories.cli.targets import connected
from repositories.operations.health import Health, facts, health_of
from repositories.postgres.errors import translating

if TYPE_CHECKING:
    from repositories.cli.targets import Place
    from repositories.postgres.settings import Settings


async def health_at(settings: Settings) -> Health:
    """Return the health of a database that may be empty or outdated; `Database.health` is for one
    that is open.

    Raises:
        DatabaseFailure: no connection.
    """
    expected = migrations.head()
    async with connected(settings) as engine:
        revision = await migrations.current(engine)
        with translating():
            async with engine.connect() as connection:
                found = await facts(connection, language=settings.language, revision=revision)
        return health_of(found, engine, settings, expected_revision=expected)


def status_figures(place: Place, health: Health) -> list[tuple[str, str]]:
    """Return names and values for a table; the URL is without its password."""
    embeddings = f"{health.dimensions} dimensions, provider {health.provider}, model {health.model}"
    return [
        ("database", place.kind),
        ("address", str(place.settings.url)),
        ("PostgreSQL", health.server_version),
        ("pgvector", health.pgvector_version or "missing"),
        ("revision", f"{health.revision or 'none'} (newest: {health.expected_revision})"),
        ("embeddings", "not recorded" if health.dimensions is None else embeddings),
        ("row-level security", "on" if health.row_level_security else "off"),
        ("pool", health.pool.status),
    ]
