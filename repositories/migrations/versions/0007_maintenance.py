"""The ledger of units of work, and the state of re-embedding jobs."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.create_table(
        "embedding_repairs",
        sa.Column(
            "tenant",
            sa.Text(),
            server_default="default",
            nullable=False,
            comment="Whose row this is; never updated.",
        ),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="When the row was written.",
        ),
        sa.Column(
            "corpus", sa.Text(), nullable=False, comment="Table whose rows are embedded again."
        ),
        sa.Column("key", sa.Text(), nullable=False, comment="The job's own name."),
        sa.Column(
            "target_model",
            sa.Text(),
            nullable=False,
            comment="Model that makes the new embeddings.",
        ),
        sa.Column(
            "status",
            sa.Text(),
            server_default="running",
            nullable=False,
            comment="Where the job stands.",
        ),
        sa.Column(
            "cursor", sa.Uuid(), comment="Last row that was passed; nothing before it is left."
        ),
        sa.Column(
            "processed",
            sa.Integer(),
            server_default=sa.text("0"),
            nullable=False,
            comment="Rows passed.",
        ),
        sa.Column(
            "repaired",
            sa.Integer(),
            server_default=sa.text("0"),
            nullable=False,
            comment="Rows given a new embedding.",
        ),
        sa.Column(
            "skipped",
            sa.Integer(),
            server_default=sa.text("0"),
            nullable=False,
            comment="Rows that needed none.",
        ),
        sa.Column(
            "failed",
            sa.Integer(),
            server_default=sa.text("0"),
            nullable=False,
            comment="Rows that could not be embedded.",
        ),
        sa.Column(
            "failures",
            sa.Integer(),
            server_default=sa.text("0"),
            nullable=False,
            comment="Batches that failed in a row.",
        ),
        sa.Column(
            "last_failure", sa.Text(), comment="What the last one failed with; never a row's text."
        ),
        sa.Column(
            "updated_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="When the job last moved.",
        ),
        sa.CheckConstraint(
            "status IN ('running', 'completed', 'failed')", name="ck_embedding_repairs_status"
        ),
        sa.CheckConstraint("failed >= 0", name="ck_embedding_repairs_failed"),
        sa.CheckConstraint("failures >= 0", name="ck_embedding_repairs_failures"),
        sa.CheckConstraint("processed >= 0", name="ck_embedding_repairs_processed"),
        sa.CheckConstraint("repaired >= 0", name="ck_embedding_repairs_repaired"),
        sa.CheckConstraint("skipped >= 0", name="ck_embedding_repairs_skipped"),
        sa.PrimaryKeyConstraint("tenant", "corpus", "key", name="pk_embedding_repairs"),
        comment=(
            "How far one job has come that embeds rows again. The cursor moves in the transaction "
            "that writes the rows it passed."
        ),
    )
    op.create_table(
        "operations",
        sa.Column(
            "tenant",
            sa.Text(),
            server_default="default",
            nullable=False,
            comment="Whose row this is; never updated.",
        ),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="When the row was written.",
        ),
        sa.Column("operation_id", sa.Uuid(), nullable=False, comment="The unit of work's own id."),
        sa.PrimaryKeyConstraint("tenant", "operation_id", name="pk_operations"),
        comment=(
            "A unit of work that asked to be remembered: its row is written in the same "
            "transaction, so it tells whether COMMIT happened."
        ),
    )
    op.create_index("ix_operations_tenant_created_at", "operations", ["tenant", "created_at"])


def downgrade() -> None:
    op.drop_table("embedding_repairs")
    op.drop_table("operations")
