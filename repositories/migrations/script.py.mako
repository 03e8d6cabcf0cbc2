<%
def body(commands):
    return "\n".join(line for line in (commands or "pass").split("\n") if "###" not in line).strip() or "pass"

here = {"from sqlalchemy.dialects import postgresql"}
more = "\n".join(line for line in (imports or "").split("\n") if line not in here)
%>\
"""${message.rstrip(".!?")}."""

from __future__ import annotations

import pgvector.sqlalchemy
import sqlalchemy as sa
import sqlmodel
from alembic import op
from sqlalchemy.dialects import postgresql

from repositories.migrations import revision_operations as operations
${more + "\n" if more else ""}\

revision = "${up_revision}"
down_revision = ${f'"{down_revision}"' if down_revision else None}


def upgrade() -> None:
    ${body(upgrades)}


def downgrade() -> None:
    ${body(downgrades)}
