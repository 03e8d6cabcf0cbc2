"""Vacuum tables with embeddings more often, drop indexes that no operation uses.

Searches by an index-only scan need a visibility map that is up to date, and an HNSW index loses
recall as dead entries accumulate. PostgreSQL's defaults wait for dead rows of a fifth of a table.
"""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

from repositories.migrations import revision_operations as operations

revision = "0019"
down_revision = "0018"

VACUUM: Final = {
    "autovacuum_vacuum_scale_factor": "0.05",
    "autovacuum_vacuum_insert_scale_factor": "0.1",
    "autovacuum_analyze_scale_factor": "0.05",
}
SETTINGS: Final[dict[str, dict[str, str]]] = {
    "knowledge": VACUUM,
    "learning_memories": VACUUM,
    "findings": VACUUM,
    # Heartbeats change a column without an index: with room in its page, a row stays there.
    "run_state": {"fillfactor": "85", "autovacuum_vacuum_scale_factor": "0.05"},
    "embedding_repairs": {"fillfactor": "50"},
}
UNUSED: Final = tuple(
    (f"ix_{table}_tenant_text_hash", table)
    for table in ("knowledge", "learning_memories", "findings")
)


def upgrade() -> None:
    operations.create_index_concurrently(
        "ix_author_cache_tenant_repo_id", "author_cache", ["tenant", "repo", "id"]
    )
    for name, table in UNUSED:
        operations.drop_index_concurrently(name, table)
    for table, settings in SETTINGS.items():
        pairs = ", ".join(f"{name} = {value}" for name, value in settings.items())
        op.execute(sa.text(f"ALTER TABLE {table} SET ({pairs})"))


def downgrade() -> None:
    for table, settings in SETTINGS.items():
        op.execute(sa.text(f"ALTER TABLE {table} RESET ({', '.join(settings)})"))
    for name, table in UNUSED:
        operations.create_index_concurrently(name, table, ["tenant", "text_hash"])
    operations.drop_index_concurrently("ix_author_cache_tenant_repo_id", "author_cache")
