"""Who works on which head of a pull request, and how far a run has come."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_table(
        "review_checkpoints",
        sa.Column(
            "tenant",
            sa.Text(),
            server_default="default",
            nullable=False,
            comment="Whose row this is; never updated.",
        ),
        sa.Column("id", sa.Uuid(), nullable=False, comment="UUID version 7, made by the client."),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="When the row was written.",
        ),
        sa.Column(
            "review_output_key",
            sa.Text(),
            nullable=False,
            comment="Output of the review that is being made.",
        ),
        sa.Column("repo", sa.Text(), nullable=False, comment="Repository, as owner/name."),
        sa.Column("pr_number", sa.Integer(), nullable=False, comment="Number of the pull request."),
        sa.Column(
            "checkpoint_data", postgresql.JSONB(), nullable=False, comment="How far it has come."
        ),
        sa.Column(
            "partial_comment_id", sa.BigInteger(), comment="Comment with the partial result."
        ),
        sa.CheckConstraint("pr_number >= 1", name="ck_review_checkpoints_pr_number"),
        sa.PrimaryKeyConstraint("tenant", "id", name="pk_review_checkpoints"),
        sa.UniqueConstraint(
            "tenant", "review_output_key", name="uq_review_checkpoints_tenant_review_output_key"
        ),
        comment="How far one review has come, so that the next attempt goes on from there.",
    )
    op.create_table(
        "run_state",
        sa.Column(
            "tenant",
            sa.Text(),
            server_default="default",
            nullable=False,
            comment="Whose row this is; never updated.",
        ),
        sa.Column("id", sa.Uuid(), nullable=False, comment="UUID version 7, made by the client."),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="When the row was written.",
        ),
        sa.Column(
            "run_key",
            sa.Text(),
            nullable=False,
            comment="Names repository, pull request, base and head.",
        ),
        sa.Column("repo", sa.Text(), nullable=False, comment="Repository, as owner/name."),
        sa.Column("pr_number", sa.Integer(), nullable=False, comment="Number of the pull request."),
        sa.Column(
            "base_sha",
            sa.Text(),
            nullable=False,
            comment="Commit that the pull request starts from.",
        ),
        sa.Column("head_sha", sa.Text(), nullable=False, comment="Commit that is reviewed."),
        sa.Column(
            "delivery_id",
            sa.Text(),
            nullable=False,
            comment="Webhook delivery that asked for the run.",
        ),
        sa.Column(
            "action", sa.Text(), nullable=False, comment="What happened to the pull request."
        ),
        sa.Column(
            "status",
            sa.Text(),
            server_default="pending",
            nullable=False,
            comment="Where the run stands.",
        ),
        sa.Column(
            "claimed_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="When the stale clock started.",
        ),
        sa.Column("completed_at", sa.DateTime(timezone=True), comment="When it was completed."),
        sa.Column("superseded_by", sa.Text(), comment="Run key that took its place."),
        sa.CheckConstraint(
            "status IN ('pending', 'running', 'completed', 'superseded')",
            name="ck_run_state_status",
        ),
        sa.CheckConstraint("pr_number >= 1", name="ck_run_state_pr_number"),
        sa.PrimaryKeyConstraint("tenant", "id", name="pk_run_state"),
        sa.UniqueConstraint("tenant", "run_key", name="uq_run_state_tenant_run_key"),
        comment="One claim to review one head of a pull request against one base.",
    )
    op.create_index(
        "ix_run_state_tenant_repo_pr_number",
        "run_state",
        ["tenant", "repo", "pr_number"],
        unique=True,
        postgresql_where=sa.text("status IN ('pending', 'running')"),
    )
    op.create_index(
        "ix_run_state_tenant_repo_pr_number_status",
        "run_state",
        ["tenant", "repo", "pr_number", "status"],
    )


def downgrade() -> None:
    op.drop_table("review_checkpoints")
    op.drop_table("run_state")
