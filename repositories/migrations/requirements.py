"""The requirements that a server must meet before its database is changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from domain.errors import ConfigurationError, MigrationFailed

if TYPE_CHECKING:
    from sqlalchemy import Connection

OLDEST_POSTGRESQL: Final = 16
OLDEST_PGVECTOR: Final = (0, 8, 4)
"""Older ones corrupt HNSW indexes on VACUUM."""

_PGVECTOR: Final = text("""
SELECT coalesce((SELECT extversion FROM pg_extension WHERE extname = 'vector'),
                (SELECT default_version FROM pg_available_extensions WHERE name = 'vector'))
""")
VERSION_TABLE: Final = "recollect_version"
"""The table with the revision of the database."""

ALEMBIC_TABLE: Final = "alembic_version"
"""The table with the revision of an application's own Alembic."""

_INSTALLED: Final = text("SELECT EXISTS (SELECT FROM pg_extension WHERE extname = 'vector')")
_LANGUAGE: Final = text(
    "SELECT EXISTS (SELECT FROM pg_ts_config WHERE cfgname = :name AND "
    "pg_ts_config_is_visible(oid))"
)


def require_server(connection: Connection) -> None:
    """Raise MigrationFailed unless the server has PostgreSQL 16 and pgvector 0.8.4, or newer."""
    number = int(connection.scalars(text("SHOW server_version_num")).one())
    if number < OLDEST_POSTGRESQL * 10_000:
        raise MigrationFailed(
            f"PostgreSQL {OLDEST_POSTGRESQL} or newer is needed, and this server is"
            f" {number // 10_000}"
        )
    pgvector = connection.scalar(_PGVECTOR)
    if pgvector is None:
        raise MigrationFailed("this server has no pgvector: an administrator has to install it")
    if _parsed(pgvector) < OLDEST_PGVECTOR:
        oldest = ".".join(map(str, OLDEST_PGVECTOR))
        raise MigrationFailed(
            f"pgvector {oldest} or newer is needed, and this database has {pgvector}: "
            "an administrator has to upgrade it and run ALTER EXTENSION vector UPDATE"
        )


def require_language(connection: Connection, language: str) -> None:
    """Raise ConfigurationError unless the server has this text search configuration."""
    if not connection.scalar(_LANGUAGE, {"name": language}):
        raise ConfigurationError(
            f"this server has no text search configuration {language!r}: set language to one that"
            " it has, such as english",
            setting="language",
        )


def create_extension(connection: Connection) -> None:
    """Create the extension `vector` if it is missing.

    Raises:
        MigrationFailed: only an administrator can create it.
    """
    if connection.scalar(_INSTALLED):
        return
    try:
        connection.execute(text("CREATE EXTENSION IF NOT EXISTS vector"))
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) != "42501":
            raise
    else:
        return
    # Outside the handler, so that the driver's error is not chained.
    raise MigrationFailed(
        "pgvector is not in this database yet: an administrator has to run CREATE EXTENSION "
        "vector in it"
    )


def _parsed(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdigit())
