"""Store the lexemes of keyword search in the row, not in a table beside it.

It applies to rows that are written from now on. Citus refuses it for distributed tables, which
keep their storage.
"""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

from repositories.migrations.distribution import is_distributed

revision = "0020"
down_revision = "0019"

TABLES: Final = ("knowledge", "learning_memories", "findings")


def upgrade() -> None:
    _set_storage("MAIN")


def downgrade() -> None:
    _set_storage("EXTENDED")


def _set_storage(storage: str) -> None:
    if is_distributed(op.get_bind()):
        return
    for table in TABLES:
        op.execute(sa.text(f"ALTER TABLE {table} ALTER COLUMN search_vector SET STORAGE {storage}"))
