"""The schema's revisions, and functions that run them with Alembic.

Alembic is configured in code, so that migrations run wherever the package is installed. `migrate`
brings a database to a revision; `rollback` takes revisions back; `check` compares a database with
the entities; `revise` writes the next revision. A database has permanent options (`SchemaOptions`).
"""

from repositories.migrations.options import SchemaOptions
from repositories.migrations.revisions import check, revise
from repositories.migrations.runner import current, head, migrate, rollback

__all__ = [
    "SchemaOptions",
    "check",
    "current",
    "head",
    "migrate",
    "revise",
    "rollback",
]
