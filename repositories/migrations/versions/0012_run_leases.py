"""Add the attempt, the lease and the time of the event to runs."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    op.add_column(
        "run_state",
        sa.Column(
            "attempt",
            sa.Uuid(),
            server_default=sa.text("gen_random_uuid()"),
            nullable=False,
            comment="Token of the claim that has the run.",
        ),
    )
    op.add_column(
        "run_state",
        sa.Column(
            "lease_expires_at",
            sa.DateTime(timezone=True),
            comment="Time at which another claim can take an unfinished run.",
        ),
    )
    op.add_column(
        "run_state",
        sa.Column(
            "occurred_at",
            sa.DateTime(timezone=True),
            comment="Time of the event that claimed the run last.",
        ),
    )


def downgrade() -> None:
    op.drop_column("run_state", "occurred_at")
    op.drop_column("run_state", "lease_expires_at")
    op.drop_column("run_state", "attempt")
