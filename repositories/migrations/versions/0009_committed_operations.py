"""Rename the table `operations` to `committed_operations`."""

from __future__ import annotations

from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.rename_table("operations", "committed_operations")
    op.execute("ALTER INDEX pk_operations RENAME TO pk_committed_operations")
    op.execute(
        "ALTER INDEX ix_operations_tenant_created_at"
        " RENAME TO ix_committed_operations_tenant_created_at"
    )


def downgrade() -> None:
    op.execute(
        "ALTER INDEX ix_committed_operations_tenant_created_at"
        " RENAME TO ix_operations_tenant_created_at"
    )
    op.execute("ALTER INDEX pk_committed_operations RENAME TO pk_operations")
    op.rename_table("committed_operations", "operations")
