"""Record which attempt committed an operation."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    op.add_column(
        "committed_operations",
        sa.Column(
            "attempt_id",
            sa.Uuid(),
            comment="Id of the unit of work that committed it; null in rows of older versions.",
        ),
    )


def downgrade() -> None:
    op.drop_column("committed_operations", "attempt_id")
