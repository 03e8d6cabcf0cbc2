"""Index authors by repository, and leave room in the pages of tables that are updated."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

from repositories.migrations import revision_operations as operations

revision = "0019"
down_revision = "0018"

SETTINGS: Final[dict[str, dict[str, str]]] = {
    # PostgreSQL's defaults wait for dead rows of a fifth of a table, however large it is.
    "findings": {
        "autovacuum_vacuum_scale_factor": "0.05",
        "autovacuum_analyze_scale_factor": "0.05",
    },
    # Heartbeats change a column without an index: with room in its page, a row stays there.
    "run_state": {"fillfactor": "85", "autovacuum_vacuum_scale_factor": "0.05"},
    "embedding_repairs": {"fillfactor": "50"},
}


def upgrade() -> None:
    operations.create_index_concurrently(
        "ix_author_cache_tenant_repo_id", "author_cache", ["tenant", "repo", "id"]
    )
    for table, settings in SETTINGS.items():
        pairs = ", ".join(f"{name} = {value}" for name, value in settings.items())
        op.execute(sa.text(f"ALTER TABLE {table} SET ({pairs})"))


def downgrade() -> None:
    for table, settings in SETTINGS.items():
        op.execute(sa.text(f"ALTER TABLE {table} RESET ({', '.join(settings)})"))
    operations.drop_index_concurrently("ix_author_cache_tenant_repo_id", "author_cache")
