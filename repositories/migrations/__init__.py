"""The schema's revisions, and what runs them: Alembic, configured in code, from wherever the
package is installed.

A database is created with options that stay (`SchemaOptions`), brought to a revision (`migrate`),
taken back (`rollback`), and held against the entities (`check`). `revise` writes the next revision.
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
