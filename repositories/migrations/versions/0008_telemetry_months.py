"""Telemetry in partitions of its months, made ahead.

What the default partition holds of them is moved.
"""

from __future__ import annotations

from repositories.migrations import revision_operations as operations

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    operations.create_month_partitions(ahead=3)


def downgrade() -> None:
    operations.drop_month_partitions()
