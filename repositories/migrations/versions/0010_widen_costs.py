"""Widen costs to ten digits before the decimal point."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"

_COMMENTS = (
    "What it cost, in US dollars; exact.",
    "Cost in US dollars, rounded half up to 8 places.",
)


def upgrade() -> None:
    # PostgreSQL rewrites no row where only the precision grows.
    _alter((12, 18), _COMMENTS)


def downgrade() -> None:
    _alter((18, 12), (_COMMENTS[1], _COMMENTS[0]))


def _alter(precisions: tuple[int, int], comments: tuple[str, str]) -> None:
    existing, new = (sa.Numeric(precision, 8) for precision in precisions)
    op.alter_column(
        "telemetry_events",
        "cost_usd",
        existing_type=existing,
        existing_nullable=False,
        existing_server_default=sa.text("0"),
        existing_comment=comments[0],
        type_=new,
        comment=comments[1],
    )
