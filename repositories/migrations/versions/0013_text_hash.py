"""Add an indexed hash of the text to knowledge, memories and findings, for distinct results.

Each new column rewrites its table and rebuilds the table's indexes while nobody else can use it;
the indexes on the new columns are built while others write.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from repositories.migrations import revision_operations as operations

revision = "0013"
down_revision = "0012"

_TEXTS = {"knowledge": "content", "learning_memories": "finding_text", "findings": "title"}


def upgrade() -> None:
    for table, text in _TEXTS.items():
        plain = text
        for white_space in (32, 9, 10, 13, 11, 12):
            plain = f"replace({plain}, chr({white_space}), '')"
        plain = f'lower({plain} COLLATE "C")'
        op.add_column(
            table,
            sa.Column(
                "text_hash",
                sa.LargeBinary(),
                sa.Computed(
                    f"sha256(decode(replace({plain}, chr(92), repeat(chr(92), 2)), 'escape'))",
                    persisted=True,
                ),
                comment="SHA-256 of the text without case and white space, made by the server.",
            ),
            if_not_exists=True,
        )
    for table in _TEXTS:
        operations.create_index_concurrently(
            f"ix_{table}_tenant_text_hash", table, ["tenant", "text_hash"]
        )


def downgrade() -> None:
    for table in reversed(_TEXTS):
        op.drop_index(f"ix_{table}_tenant_text_hash", table, if_exists=True)
        op.drop_column(table, "text_hash", if_exists=True)
