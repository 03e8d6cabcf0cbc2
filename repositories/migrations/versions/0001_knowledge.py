"""What the agent knows, and how this database embeds."""

from __future__ import annotations

import pgvector.sqlalchemy
import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from repositories.migrations import revision_operations as operations

revision = "0001"
down_revision = None


def upgrade() -> None:
    operations.create_extension()
    op.create_table(
        "embedding_metadata",
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="When the row was written.",
        ),
        sa.Column(
            "id",
            sa.Integer(),
            server_default=sa.text("1"),
            autoincrement=False,
            nullable=False,
            comment="Always 1.",
        ),
        sa.Column("provider", sa.Text(), nullable=False, comment="Who serves the model."),
        sa.Column("model", sa.Text(), nullable=False, comment="Model that makes the embeddings."),
        sa.Column(
            "dimensions", sa.Integer(), nullable=False, comment="Components of every embedding."
        ),
        sa.Column(
            "metric",
            sa.Text(),
            server_default="cosine",
            nullable=False,
            comment="Distance that the index serves.",
        ),
        sa.CheckConstraint(
            "dimensions >= 1 AND dimensions <= 16000", name="ck_embedding_metadata_dimensions"
        ),
        sa.CheckConstraint("id >= 1 AND id <= 1", name="ck_embedding_metadata_id"),
        sa.PrimaryKeyConstraint("id", name="pk_embedding_metadata"),
        comment=(
            "How this database embeds: provider, model, dimension and metric. One row, for all "
            "tenants, written with the schema."
        ),
    )
    options = operations.options()
    recorded = {
        name: getattr(options, name) for name in ("provider", "model", "dimensions", "metric")
    }
    op.execute(
        sa.insert(sa.table("embedding_metadata", *map(sa.column, recorded))).values(recorded)
    )
    op.create_table(
        "knowledge",
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
            "chunk_id", sa.Text(), nullable=False, comment="The caller's own name for the passage."
        ),
        sa.Column(
            "repo",
            sa.Text(),
            server_default="",
            nullable=False,
            comment="Repository, as owner/name; empty where it belongs to none.",
        ),
        sa.Column("source", sa.Text(), nullable=False, comment="Path or address of the document."),
        sa.Column(
            "source_type",
            sa.Text(),
            nullable=False,
            comment="Kind of document: doc, code, test, ...",
        ),
        sa.Column("language", sa.Text(), comment="Language that it is written in."),
        sa.Column("title", sa.Text(), comment="Title; weighs most in keyword search."),
        sa.Column("summary", sa.Text(), comment="Summary; weighs more than the content."),
        sa.Column("content", sa.Text(), nullable=False, comment="The passage."),
        sa.Column(
            "metadata",
            postgresql.JSONB(),
            server_default="{}",
            nullable=False,
            comment="Anything else, for filters.",
        ),
        sa.Column(
            "content_hash", sa.LargeBinary(), nullable=False, comment="SHA-256 of the content."
        ),
        sa.Column(
            "token_count",
            sa.Integer(),
            server_default=sa.text("0"),
            nullable=False,
            comment="Tokens in the content, as the embedding model counts.",
        ),
        sa.Column("embedding_model", sa.Text(), comment="Model that made the embedding."),
        sa.Column(
            "embedding",
            pgvector.sqlalchemy.VECTOR(operations.options().dimensions),
            comment="Vector of the passage.",
        ),
        sa.Column(
            "stale",
            sa.Boolean(),
            server_default=sa.text("false"),
            nullable=False,
            comment="The embedding is to be made again.",
        ),
        sa.Column(
            "updated_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="When it was last replaced.",
        ),
        sa.Column(
            "search_vector",
            postgresql.TSVECTOR(),
            operations.generated(
                f"{operations.lexemes('title', 1_000, 'A')} "
                f"|| {operations.lexemes('summary', 9_000, 'B')} "
                f"|| {operations.lexemes('content', 90_000, 'C')}"
            ),
            comment="Lexemes for keyword search, made by the server.",
        ),
        sa.CheckConstraint("token_count >= 0", name="ck_knowledge_token_count"),
        sa.CheckConstraint(
            "vector_norm(embedding) BETWEEN 1e-06 AND 1000000.0", name="ck_knowledge_embedding_norm"
        ),
        sa.PrimaryKeyConstraint("tenant", "id", name="pk_knowledge"),
        sa.UniqueConstraint("tenant", "repo", "chunk_id", name="uq_knowledge_tenant_repo_chunk_id"),
        comment="One passage of one document, with its embedding and its lexemes.",
    )
    operations.create_vector_index("knowledge", "embedding")
    op.create_index(
        "ix_knowledge_metadata",
        "knowledge",
        ["metadata"],
        postgresql_using="gin",
        postgresql_ops={"metadata": "jsonb_path_ops"},
    )
    op.create_index(
        "ix_knowledge_search_vector", "knowledge", ["search_vector"], postgresql_using="gin"
    )
    op.create_index("ix_knowledge_tenant_repo_source", "knowledge", ["tenant", "repo", "source"])


def downgrade() -> None:
    op.drop_table("knowledge")
    op.drop_table("embedding_metadata")
