"""The embedded server: PostgreSQL with pgvector, launched from a wheel, private to its owner."""

from repositories.embedded.server import EmbeddedServer

__all__ = ["EmbeddedServer"]
