"""What was learned."""

from __future__ import annotations

import pgvector.sqlalchemy
import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from repositories.migrations import revision_operations as operations

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "global_patterns",
        sa.Column("id", sa.Uuid(), nullable=False, comment="UUID version 7, made by the client."),
        sa.Column("severity", sa.Text(), nullable=False, comment="Severity of the findings."),
        sa.Column("category", sa.Text(), nullable=False, comment="Category of the findings."),
        sa.Column("confidence_band", sa.Text(), nullable=False, comment="How sure they were."),
        sa.Column(
            "pattern_fingerprint",
            sa.Text(),
            nullable=False,
            comment="Hash of the normalised title.",
        ),
        sa.Column("count", sa.Integer(), nullable=False, comment="How many were seen."),
        sa.CheckConstraint(
            "category IN ('security', 'correctness', 'performance', 'style', 'documentation')",
            name="ck_global_patterns_category",
        ),
        sa.CheckConstraint(
            "confidence_band IN ('high', 'medium', 'low')",
            name="ck_global_patterns_confidence_band",
        ),
        sa.CheckConstraint(
            "severity IN ('critical', 'major', 'medium', 'minor')",
            name="ck_global_patterns_severity",
        ),
        sa.CheckConstraint("count >= 1", name="ck_global_patterns_count"),
        sa.PrimaryKeyConstraint("id", name="pk_global_patterns"),
        sa.UniqueConstraint(
            "severity",
            "category",
            "confidence_band",
            "pattern_fingerprint",
            name="uq_global_patterns_kind",
        ),
        comment=(
            "How often findings of one kind were seen, over all tenants. It holds no tenant's "
            "text: the fingerprint is a hash."
        ),
    )
    op.create_table(
        "learning_memories",
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
            "repo", sa.Text(), nullable=False, comment="Repository that it is about, as owner/name."
        ),
        sa.Column("owner", sa.Text(), nullable=False, comment="Owner of the repository."),
        sa.Column(
            "finding_id", sa.Uuid(), comment="Finding that it came from, where there was one."
        ),
        sa.Column("review_id", sa.Uuid(), comment="Review that it came from, where there was one."),
        sa.Column(
            "source_repo", sa.Text(), nullable=False, comment="Repository that it was learned in."
        ),
        sa.Column(
            "finding_text",
            sa.Text(),
            nullable=False,
            comment="The finding in words; what is embedded and searched.",
        ),
        sa.Column("severity", sa.Text(), nullable=False, comment="The finding's severity."),
        sa.Column("category", sa.Text(), nullable=False, comment="The finding's category."),
        sa.Column("file_path", sa.Text(), nullable=False, comment="The finding's file."),
        sa.Column("language", sa.Text(), comment="Programming language, in lower case."),
        sa.Column("outcome", sa.Text(), nullable=False, comment="What became of the finding."),
        sa.Column(
            "embedding_model",
            sa.Text(),
            nullable=False,
            comment="Model that made, or is to make, the embedding.",
        ),
        sa.Column(
            "embedding_dim",
            sa.Integer(),
            server_default=sa.text("0"),
            nullable=False,
            comment="Components of the embedding; 0 while there is none.",
        ),
        sa.Column(
            "embedding",
            pgvector.sqlalchemy.VECTOR(operations.options().dimensions),
            comment="Vector of the text.",
        ),
        sa.Column(
            "stale",
            sa.Boolean(),
            server_default=sa.text("false"),
            nullable=False,
            comment="The embedding is to be made again.",
        ),
        sa.Column(
            "search_vector",
            postgresql.TSVECTOR(),
            operations.generated(operations.lexemes("finding_text", 90_000, "C")),
            comment="Lexemes for keyword search, made by the server.",
        ),
        sa.CheckConstraint(
            "category IN ('security', 'correctness', 'performance', 'style', 'documentation')",
            name="ck_learning_memories_category",
        ),
        sa.CheckConstraint(
            "outcome IN ('accepted', 'suppressed', 'thumbs_up', 'thumbs_down')",
            name="ck_learning_memories_outcome",
        ),
        sa.CheckConstraint(
            "severity IN ('critical', 'major', 'medium', 'minor')",
            name="ck_learning_memories_severity",
        ),
        sa.CheckConstraint(
            "embedding_dim >= 0 AND embedding_dim <= 16000",
            name="ck_learning_memories_embedding_dim",
        ),
        sa.CheckConstraint(
            "vector_norm(embedding) BETWEEN 1e-06 AND 1000000.0",
            name="ck_learning_memories_embedding_norm",
        ),
        sa.PrimaryKeyConstraint("tenant", "id", name="pk_learning_memories"),
        sa.UniqueConstraint(
            "tenant",
            "repo",
            "finding_id",
            "outcome",
            name="uq_learning_memories_tenant_repo_finding_id_outcome",
        ),
        comment="One finding and what became of it, with the embedding of its text.",
    )
    operations.create_vector_index("learning_memories", "embedding")
    op.create_index(
        "ix_learning_memories_search_vector",
        "learning_memories",
        ["search_vector"],
        postgresql_using="gin",
    )
    op.create_index(
        "ix_learning_memories_tenant_owner_repo", "learning_memories", ["tenant", "owner", "repo"]
    )
    op.create_index("ix_learning_memories_tenant_repo", "learning_memories", ["tenant", "repo"])
    op.create_index("ix_learning_memories_tenant_stale", "learning_memories", ["tenant", "stale"])


def downgrade() -> None:
    op.drop_table("global_patterns")
    op.drop_table("learning_memories")
