"""Authors, and dependency bumps that were merged."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.create_table(
        "author_cache",
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
        sa.Column("author_login", sa.Text(), nullable=False, comment="Login of the author."),
        sa.Column("tier", sa.Text(), nullable=False, comment="How well the repository knows them."),
        sa.Column(
            "author_association",
            sa.Text(),
            nullable=False,
            comment="Association, as the code host says.",
        ),
        sa.Column("pr_count", sa.Integer(), comment="Pull requests that they had merged."),
        sa.Column(
            "cached_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="When this was learned.",
        ),
        sa.CheckConstraint(
            "tier IN ('first-time', 'regular', 'core')", name="ck_author_cache_tier"
        ),
        sa.CheckConstraint("pr_count >= 0", name="ck_author_cache_pr_count"),
        sa.PrimaryKeyConstraint("tenant", "id", name="pk_author_cache"),
        sa.UniqueConstraint(
            "tenant", "repo", "author_login", name="uq_author_cache_tenant_repo_author_login"
        ),
        comment=(
            "What one repository knows of one author, as the code host said at `cached_at`. "
            "Upserted; read only while fresh."
        ),
    )
    op.create_index("ix_author_cache_tenant_cached_at", "author_cache", ["tenant", "cached_at"])
    op.create_table(
        "dep_bump_merge_history",
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
        sa.Column("merged_at", sa.DateTime(timezone=True), comment="When it was merged."),
        sa.Column("delivery_id", sa.Text(), comment="Webhook delivery that told of it."),
        sa.Column("source", sa.Text(), nullable=False, comment="Who opened it."),
        sa.Column("signals", postgresql.JSONB(), comment="What it was recognised by."),
        sa.Column("package_name", sa.Text(), comment="Package that was bumped."),
        sa.Column("old_version", sa.Text(), comment="Version before."),
        sa.Column("new_version", sa.Text(), comment="Version after."),
        sa.Column("semver_bump_type", sa.Text(), comment="Which part of the version changed."),
        sa.Column("merge_confidence_level", sa.Text(), comment="How safe it was thought to merge."),
        sa.Column(
            "merge_confidence_rationale", postgresql.JSONB(), comment="Why it was thought so."
        ),
        sa.Column(
            "advisory_status", sa.Text(), comment="Whether an advisory names the old version."
        ),
        sa.Column("advisory_max_severity", sa.Text(), comment="The worst of the advisories."),
        sa.Column("is_security_bump", sa.Boolean(), comment="Whether it closes a vulnerability."),
        sa.CheckConstraint(
            "advisory_max_severity IN ('critical', 'high', 'medium', 'low', 'unknown')",
            name="ck_dep_bump_merge_history_advisory_max_severity",
        ),
        sa.CheckConstraint(
            "advisory_status IN ('none', 'present', 'unknown')",
            name="ck_dep_bump_merge_history_advisory_status",
        ),
        sa.CheckConstraint(
            "merge_confidence_level IN ('high', 'medium', 'low')",
            name="ck_dep_bump_merge_history_merge_confidence_level",
        ),
        sa.CheckConstraint(
            "semver_bump_type IN ('major', 'minor', 'patch', 'unknown')",
            name="ck_dep_bump_merge_history_semver_bump_type",
        ),
        sa.CheckConstraint(
            "source IN ('dependabot', 'renovate', 'unknown')",
            name="ck_dep_bump_merge_history_source",
        ),
        sa.CheckConstraint("pr_number >= 1", name="ck_dep_bump_merge_history_pr_number"),
        sa.PrimaryKeyConstraint("tenant", "id", name="pk_dep_bump_merge_history"),
        sa.UniqueConstraint(
            "tenant", "repo", "pr_number", name="uq_dep_bump_merge_history_tenant_repo_pr_number"
        ),
        comment="One merged pull request that bumped a dependency. The first to arrive wins.",
    )
    op.create_index(
        "ix_dep_bump_merge_history_tenant_repo_package_name",
        "dep_bump_merge_history",
        ["tenant", "repo", "package_name"],
    )


def downgrade() -> None:
    op.drop_table("dep_bump_merge_history")
    op.drop_table("author_cache")
