"""Replace the HNSW indexes that all tenants share by covering indexes, for embeddings that fit.

Others read and write meanwhile. Large tenants get an HNSW index of their own.
"""

from __future__ import annotations

from alembic import op

from repositories.migrations import revision_operations as operations

revision = "0018"
down_revision = "0017"

_TABLES = ("knowledge", "learning_memories")
_VACUUM = {
    "autovacuum_vacuum_scale_factor": "0.05",
    "autovacuum_vacuum_insert_scale_factor": "0.05",
    "autovacuum_analyze_scale_factor": "0.05",
}


def upgrade() -> None:
    for table in _TABLES:
        settings = ", ".join(f"{name} = {value}" for name, value in _VACUUM.items())
        op.execute(f"ALTER TABLE {table} SET ({settings})")
    operations.cover_embeddings(_TABLES)


def downgrade() -> None:
    operations.uncover_embeddings(_TABLES)
    for table in _TABLES:
        op.execute(f"ALTER TABLE {table} RESET ({', '.join(_VACUUM)})")
