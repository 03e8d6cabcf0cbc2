"""What was reviewed and found, what was held back, and what people made of it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from repositories.migrations import revision_operations as operations

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "reviews",
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
        sa.Column("repo", sa.Text(), nullable=False, comment="Repository, as owner/name."),
        sa.Column("pr_number", sa.Integer(), nullable=False, comment="Number of the pull request."),
        sa.Column("head_sha", sa.Text(), comment="Commit that was reviewed."),
        sa.Column("delivery_id", sa.Text(), comment="Webhook delivery that asked for the review."),
        sa.Column(
            "files_analyzed",
            sa.Integer(),
            server_default=sa.text("0"),
            nullable=False,
            comment="Files that were looked at.",
        ),
        sa.Column(
            "lines_changed",
            sa.Integer(),
            server_default=sa.text("0"),
            nullable=False,
            comment="Lines that the pull request changes.",
        ),
        sa.Column(
            "findings_critical",
            sa.Integer(),
            server_default=sa.text("0"),
            nullable=False,
            comment="Critical findings, as declared.",
        ),
        sa.Column(
            "findings_major",
            sa.Integer(),
            server_default=sa.text("0"),
            nullable=False,
            comment="Major findings, as declared.",
        ),
        sa.Column(
            "findings_medium",
            sa.Integer(),
            server_default=sa.text("0"),
            nullable=False,
            comment="Medium findings, as declared.",
        ),
        sa.Column(
            "findings_minor",
            sa.Integer(),
            server_default=sa.text("0"),
            nullable=False,
            comment="Minor findings, as declared.",
        ),
        sa.Column(
            "findings_total",
            sa.Integer(),
            server_default=sa.text("0"),
            nullable=False,
            comment="All findings, as declared.",
        ),
        sa.Column(
            "suppressions_applied",
            sa.Integer(),
            server_default=sa.text("0"),
            nullable=False,
            comment="Findings that a suppression held back, as declared.",
        ),
        sa.Column(
            "config_snapshot", postgresql.JSONB(), comment="Configuration that the review ran with."
        ),
        sa.Column(
            "duration_ms", sa.Integer(), comment="How long the review took, in milliseconds."
        ),
        sa.Column("model", sa.Text(), comment="Model that reviewed."),
        sa.Column(
            "conclusion",
            sa.Text(),
            server_default="unknown",
            nullable=False,
            comment="How the review ended.",
        ),
        sa.CheckConstraint("duration_ms >= 0", name="ck_reviews_duration_ms"),
        sa.CheckConstraint("files_analyzed >= 0", name="ck_reviews_files_analyzed"),
        sa.CheckConstraint("findings_critical >= 0", name="ck_reviews_findings_critical"),
        sa.CheckConstraint("findings_major >= 0", name="ck_reviews_findings_major"),
        sa.CheckConstraint("findings_medium >= 0", name="ck_reviews_findings_medium"),
        sa.CheckConstraint("findings_minor >= 0", name="ck_reviews_findings_minor"),
        sa.CheckConstraint("findings_total >= 0", name="ck_reviews_findings_total"),
        sa.CheckConstraint("lines_changed >= 0", name="ck_reviews_lines_changed"),
        sa.CheckConstraint("pr_number >= 1", name="ck_reviews_pr_number"),
        sa.CheckConstraint("suppressions_applied >= 0", name="ck_reviews_suppressions_applied"),
        sa.PrimaryKeyConstraint("tenant", "id", name="pk_reviews"),
        comment="One review of one pull request, as it was when it ended.",
    )
    op.create_index(
        "ix_reviews_tenant_repo_created_at", "reviews", ["tenant", "repo", "created_at"]
    )
    op.create_index("ix_reviews_tenant_repo_pr_number", "reviews", ["tenant", "repo", "pr_number"])
    op.create_table(
        "findings",
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
        sa.Column("review_id", sa.Uuid(), nullable=False, comment="Review that found it."),
        sa.Column("repo", sa.Text(), nullable=False, comment="Repository, as owner/name."),
        sa.Column(
            "file_path", sa.Text(), nullable=False, comment="File, from the repository's root."
        ),
        sa.Column("start_line", sa.Integer(), comment="First line, from 1."),
        sa.Column("end_line", sa.Integer(), comment="Last line, included."),
        sa.Column("severity", sa.Text(), nullable=False, comment="How much it matters."),
        sa.Column("category", sa.Text(), nullable=False, comment="What it is about."),
        sa.Column(
            "confidence",
            sa.Integer(),
            nullable=False,
            comment="How sure the reviewer is, in percent.",
        ),
        sa.Column("title", sa.Text(), nullable=False, comment="The finding in one sentence."),
        sa.Column(
            "suppressed",
            sa.Boolean(),
            server_default=sa.text("false"),
            nullable=False,
            comment="Held back by a suppression.",
        ),
        sa.Column("suppression_pattern", sa.Text(), comment="Suppression that held it back."),
        sa.Column("comment_id", sa.BigInteger(), comment="Comment that was posted for it."),
        sa.Column("comment_surface", sa.Text(), comment="Where the comment was posted."),
        sa.Column("review_output_key", sa.Text(), comment="Output of the review that posted it."),
        sa.Column(
            "search_vector",
            postgresql.TSVECTOR(),
            operations.generated(operations.lexemes("title", 90_000, "C")),
            comment="Lexemes for keyword search, made by the server.",
        ),
        sa.CheckConstraint(
            "category IN ('security', 'correctness', 'performance', 'style', 'documentation')",
            name="ck_findings_category",
        ),
        sa.CheckConstraint(
            "severity IN ('critical', 'major', 'medium', 'minor')", name="ck_findings_severity"
        ),
        sa.CheckConstraint("confidence >= 0 AND confidence <= 100", name="ck_findings_confidence"),
        sa.CheckConstraint("end_line >= 1", name="ck_findings_end_line"),
        sa.CheckConstraint("end_line >= start_line", name="ck_findings_lines"),
        sa.CheckConstraint("start_line >= 1", name="ck_findings_start_line"),
        sa.ForeignKeyConstraint(
            ["tenant", "review_id"],
            ["reviews.tenant", "reviews.id"],
            name="fk_findings_reviews",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("tenant", "id", name="pk_findings"),
        comment="One thing that a review found in one file.",
    )
    op.create_index(
        "ix_findings_search_vector", "findings", ["search_vector"], postgresql_using="gin"
    )
    op.create_index(
        "ix_findings_tenant_repo_comment_id", "findings", ["tenant", "repo", "comment_id"]
    )
    op.create_index(
        "ix_findings_tenant_repo_file_path", "findings", ["tenant", "repo", "file_path"]
    )
    op.create_index("ix_findings_tenant_repo_severity", "findings", ["tenant", "repo", "severity"])
    op.create_index("ix_findings_tenant_review_id", "findings", ["tenant", "review_id"])
    op.create_table(
        "suppression_log",
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
        sa.Column("review_id", sa.Uuid(), nullable=False, comment="Review that applied it."),
        sa.Column("pattern", sa.Text(), nullable=False, comment="Pattern that matched."),
        sa.Column(
            "matched_count", sa.Integer(), nullable=False, comment="Findings that it held back."
        ),
        sa.Column(
            "finding_ids",
            sa.ARRAY(sa.Uuid()),
            nullable=False,
            comment="Those findings, where they were kept.",
        ),
        sa.CheckConstraint("matched_count >= 0", name="ck_suppression_log_matched_count"),
        sa.ForeignKeyConstraint(
            ["tenant", "review_id"],
            ["reviews.tenant", "reviews.id"],
            name="fk_suppression_log_reviews",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("tenant", "id", name="pk_suppression_log"),
        comment=(
            "One suppression that a review applied, and the findings that it held back. "
            "Written with the review, never changed."
        ),
    )
    op.create_index(
        "ix_suppression_log_tenant_review_id", "suppression_log", ["tenant", "review_id"]
    )
    op.create_table(
        "feedback_reactions",
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
        sa.Column("repo", sa.Text(), nullable=False, comment="Repository, as owner/name."),
        sa.Column(
            "review_id", sa.Uuid(), nullable=False, comment="Review that the comment belongs to."
        ),
        sa.Column(
            "finding_id", sa.Uuid(), nullable=False, comment="Finding that the comment told."
        ),
        sa.Column(
            "comment_id", sa.BigInteger(), nullable=False, comment="Comment that was reacted to."
        ),
        sa.Column(
            "comment_surface", sa.Text(), nullable=False, comment="Where the comment was posted."
        ),
        sa.Column(
            "reaction_id",
            sa.BigInteger(),
            nullable=False,
            comment="Reaction, as the code host numbers it.",
        ),
        sa.Column(
            "reaction_content", sa.Text(), nullable=False, comment="Thumbs up or thumbs down."
        ),
        sa.Column("reactor_login", sa.Text(), nullable=False, comment="Who reacted."),
        sa.Column("reacted_at", sa.DateTime(timezone=True), comment="When they did."),
        sa.Column("severity", sa.Text(), nullable=False, comment="The finding's severity."),
        sa.Column("category", sa.Text(), nullable=False, comment="The finding's category."),
        sa.Column("file_path", sa.Text(), nullable=False, comment="The finding's file."),
        sa.Column("title", sa.Text(), nullable=False, comment="The finding's title."),
        sa.CheckConstraint(
            "category IN ('security', 'correctness', 'performance', 'style', 'documentation')",
            name="ck_feedback_reactions_category",
        ),
        sa.CheckConstraint(
            "reaction_content IN ('+1', '-1')", name="ck_feedback_reactions_reaction_content"
        ),
        sa.CheckConstraint(
            "severity IN ('critical', 'major', 'medium', 'minor')",
            name="ck_feedback_reactions_severity",
        ),
        sa.ForeignKeyConstraint(
            ["tenant", "finding_id"],
            ["findings.tenant", "findings.id"],
            name="fk_feedback_reactions_findings",
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["tenant", "review_id"],
            ["reviews.tenant", "reviews.id"],
            name="fk_feedback_reactions_reviews",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("tenant", "id", name="pk_feedback_reactions"),
        sa.UniqueConstraint(
            "tenant",
            "repo",
            "comment_id",
            "reaction_id",
            name="uq_feedback_reactions_tenant_repo_comment_id_reaction_id",
        ),
        comment=(
            "One person's reaction to one comment. The first to arrive wins; it repeats the "
            "finding's facts, as they were."
        ),
    )
    op.create_index(
        "ix_feedback_reactions_tenant_finding_id", "feedback_reactions", ["tenant", "finding_id"]
    )
    op.create_index(
        "ix_feedback_reactions_tenant_review_id", "feedback_reactions", ["tenant", "review_id"]
    )


def downgrade() -> None:
    op.drop_table("feedback_reactions")
    op.drop_table("suppression_log")
    op.drop_table("findings")
    op.drop_table("reviews")
