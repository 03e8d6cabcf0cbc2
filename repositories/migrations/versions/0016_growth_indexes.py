"""Index what operations read, so that their cost does not grow with the tables.

Each index is built while others read and write. After an interruption, the next migration builds
those that are missing.
"""

from __future__ import annotations

from typing import Any, Final

import sqlalchemy as sa
from alembic import op

from repositories.migrations import revision_operations as operations

revision = "0016"
down_revision = "0015"

NEW: Final[tuple[tuple[str, str, tuple[str, ...], str | None], ...]] = (
    ("ix_knowledge_tenant_repo_id", "knowledge", ("repo", "id"), None),
    ("ix_knowledge_embedding_model", "knowledge", ("embedding_model",), "stale IS FALSE"),
    ("ix_knowledge_to_embed", "knowledge", ("id",), "stale OR embedding IS NULL"),
    ("ix_learning_memories_tenant_repo_id", "learning_memories", ("repo", "id"), None),
    (
        "ix_learning_memories_shared",
        "learning_memories",
        ("owner", "repo"),
        "stale IS FALSE AND embedding IS NOT NULL",
    ),
    (
        "ix_learning_memories_embedding_model",
        "learning_memories",
        ("embedding_model",),
        "stale IS FALSE",
    ),
    ("ix_learning_memories_to_embed", "learning_memories", ("id",), "stale OR embedding IS NULL"),
    ("ix_findings_tenant_repo_id", "findings", ("repo", "id"), None),
    (
        "ix_findings_commented",
        "findings",
        ("repo", "created_at DESC", "id"),
        "comment_id IS NOT NULL AND comment_surface IS NOT NULL AND review_output_key IS NOT NULL",
    ),
    ("ix_suppression_log_pattern", "suppression_log", ("md5(pattern)",), None),
    ("ix_run_state_tenant_status_completed_at", "run_state", ("status", "completed_at"), None),
    ("ix_run_state_tenant_status_claimed_at", "run_state", ("status", "claimed_at"), None),
    ("ix_review_checkpoints_tenant_repo_id", "review_checkpoints", ("repo", "id"), None),
    (
        "ix_dep_bump_merge_history_package",
        "dep_bump_merge_history",
        ("repo", "package_name", "merged_at DESC NULLS LAST", "id DESC"),
        None,
    ),
    ("ix_rate_limit_events_tenant_repo_id", "rate_limit_events", ("repo", "id"), None),
    (
        "ix_retrieval_quality_events_tenant_repo_id",
        "retrieval_quality_events",
        ("repo", "id"),
        None,
    ),
    ("ix_resilience_events_tenant_repo_id", "resilience_events", ("repo", "id"), None),
)
REPLACED: Final[tuple[tuple[str, str, tuple[str, ...]], ...]] = (
    ("ix_learning_memories_tenant_repo", "learning_memories", ("repo",)),
    ("ix_learning_memories_tenant_owner_repo", "learning_memories", ("owner", "repo")),
    ("ix_learning_memories_tenant_stale", "learning_memories", ("stale",)),
    ("ix_findings_tenant_repo_severity", "findings", ("repo", "severity")),
    (
        "ix_dep_bump_merge_history_tenant_repo_package_name",
        "dep_bump_merge_history",
        ("repo", "package_name"),
    ),
)


def upgrade() -> None:
    for name, table, columns, where in NEW:
        _create(name, table, columns, where)
    for name, table, _ in REPLACED:
        operations.drop_index_concurrently(name, table)


def downgrade() -> None:
    for name, table, columns in REPLACED:
        _create(name, table, columns, None)
    for name, table, _, _ in reversed(NEW):
        operations.drop_index_concurrently(name, table)


def _create(name: str, table: str, columns: tuple[str, ...], where: str | None) -> None:
    indexed: list[Any] = ["tenant", *(_indexed(column) for column in columns)]
    condition = None if where is None else sa.text(where)
    with operations.timed(table, f"{name} is built"):
        operations.create_index_concurrently(name, table, indexed, postgresql_where=condition)


def _indexed(column: str) -> Any:
    return column if column.isidentifier() else sa.text(column)
