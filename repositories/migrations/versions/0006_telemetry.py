"""What it cost and how it went."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.create_table(
        "rate_limit_events",
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
        sa.Column("delivery_id", sa.Text(), comment="Webhook delivery that caused the run."),
        sa.Column("repo", sa.Text(), nullable=False, comment="Repository, as owner/name."),
        sa.Column("pr_number", sa.Integer(), comment="Number of the pull request."),
        sa.Column("event_type", sa.Text(), nullable=False, comment="What was run."),
        sa.Column(
            "cache_hit_rate",
            sa.Double(),
            nullable=False,
            comment="Share of look-ups that the cache answered.",
        ),
        sa.Column(
            "skipped_queries", sa.Integer(), nullable=False, comment="Queries that were left out."
        ),
        sa.Column(
            "retry_attempts", sa.Integer(), nullable=False, comment="Attempts after the first."
        ),
        sa.Column("degradation_path", sa.Text(), nullable=False, comment="What was done instead."),
        sa.CheckConstraint(
            "cache_hit_rate >= 0 AND cache_hit_rate <= 1",
            name="ck_rate_limit_events_cache_hit_rate",
        ),
        sa.CheckConstraint("pr_number >= 1", name="ck_rate_limit_events_pr_number"),
        sa.CheckConstraint("retry_attempts >= 0", name="ck_rate_limit_events_retry_attempts"),
        sa.CheckConstraint("skipped_queries >= 0", name="ck_rate_limit_events_skipped_queries"),
        sa.PrimaryKeyConstraint("tenant", "id", name="pk_rate_limit_events"),
        comment=(
            "How a run coped with the code host's rate limit. One per delivery and type where a "
            "delivery is given."
        ),
    )
    op.create_index(
        "ix_rate_limit_events_tenant_created_at", "rate_limit_events", ["tenant", "created_at"]
    )
    op.create_index(
        "ix_rate_limit_events_tenant_delivery_id_event_type",
        "rate_limit_events",
        ["tenant", "delivery_id", "event_type"],
        unique=True,
        postgresql_where=sa.text("delivery_id IS NOT NULL"),
    )
    op.create_table(
        "resilience_events",
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
            "delivery_id",
            sa.Text(),
            nullable=False,
            comment="Webhook delivery that timed out or was retried.",
        ),
        sa.Column("repo", sa.Text(), nullable=False, comment="Repository, as owner/name."),
        sa.Column("pr_number", sa.Integer(), comment="Number of the pull request."),
        sa.Column("pr_author", sa.Text(), comment="Who opened the pull request."),
        sa.Column("event_type", sa.Text(), nullable=False, comment="What was run."),
        sa.Column("kind", sa.Text(), nullable=False, comment="Timeout or retry."),
        sa.Column("parent_delivery_id", sa.Text(), comment="Delivery that a retry belongs to."),
        sa.Column("review_output_key", sa.Text(), comment="Output of the review."),
        sa.Column("execution_conclusion", sa.Text(), comment="How the run ended."),
        sa.Column("had_inline_output", sa.Boolean(), comment="Whether comments had been posted."),
        sa.Column("checkpoint_files_reviewed", sa.Integer(), comment="Files reviewed by then."),
        sa.Column("checkpoint_files_inspected", sa.Integer(), comment="Files inspected by then."),
        sa.Column("checkpoint_finding_count", sa.Integer(), comment="Findings by then."),
        sa.Column("checkpoint_total_files", sa.Integer(), comment="Files in all."),
        sa.Column(
            "partial_comment_id", sa.BigInteger(), comment="Comment with the partial result."
        ),
        sa.Column("recent_timeouts", sa.Integer(), comment="Timeouts of this author lately."),
        sa.Column("chronic_timeout", sa.Boolean(), comment="Whether that is too many."),
        sa.Column("retry_enqueued", sa.Boolean(), comment="Whether a retry was enqueued."),
        sa.Column("retry_files_count", sa.Integer(), comment="Files in the retry."),
        sa.Column(
            "retry_scope_ratio", sa.Double(), comment="Share of the files that the retry looks at."
        ),
        sa.Column(
            "retry_timeout_seconds", sa.Integer(), comment="Timeout of the retry, in seconds."
        ),
        sa.Column("retry_risk_level", sa.Text(), comment="How risky the retry was thought."),
        sa.Column(
            "retry_checkpoint_enabled", sa.Boolean(), comment="Whether the retry keeps checkpoints."
        ),
        sa.Column("retry_has_results", sa.Boolean(), comment="Whether the retry had results."),
        sa.Column("timeout_classification", sa.Text(), comment="Kind of timeout."),
        sa.Column("timeout_classification_mode", sa.Text(), comment="How that was found."),
        sa.Column(
            "timeout_classification_reasons",
            sa.ARRAY(sa.Text()),
            nullable=False,
            comment="Why it was thought so.",
        ),
        sa.CheckConstraint("kind IN ('timeout', 'retry')", name="ck_resilience_events_kind"),
        sa.CheckConstraint(
            "checkpoint_files_inspected >= 0",
            name="ck_resilience_events_checkpoint_files_inspected",
        ),
        sa.CheckConstraint(
            "checkpoint_files_reviewed >= 0", name="ck_resilience_events_checkpoint_files_reviewed"
        ),
        sa.CheckConstraint(
            "checkpoint_finding_count >= 0", name="ck_resilience_events_checkpoint_finding_count"
        ),
        sa.CheckConstraint(
            "checkpoint_total_files >= 0", name="ck_resilience_events_checkpoint_total_files"
        ),
        sa.CheckConstraint("pr_number >= 1", name="ck_resilience_events_pr_number"),
        sa.CheckConstraint("recent_timeouts >= 0", name="ck_resilience_events_recent_timeouts"),
        sa.CheckConstraint("retry_files_count >= 0", name="ck_resilience_events_retry_files_count"),
        sa.CheckConstraint(
            "retry_scope_ratio >= 0 AND retry_scope_ratio <= 1",
            name="ck_resilience_events_retry_scope_ratio",
        ),
        sa.CheckConstraint(
            "retry_timeout_seconds >= 0", name="ck_resilience_events_retry_timeout_seconds"
        ),
        sa.PrimaryKeyConstraint("tenant", "id", name="pk_resilience_events"),
        sa.UniqueConstraint(
            "tenant", "delivery_id", name="uq_resilience_events_tenant_delivery_id"
        ),
        comment=(
            "A timeout or a retry of one delivery. Replaced whole when told again, keeping id and "
            "`created_at`."
        ),
    )
    op.create_index(
        "ix_resilience_events_tenant_created_at", "resilience_events", ["tenant", "created_at"]
    )
    op.create_table(
        "retrieval_quality_events",
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
        sa.Column("delivery_id", sa.Text(), comment="Webhook delivery that caused the retrieval."),
        sa.Column("repo", sa.Text(), nullable=False, comment="Repository, as owner/name."),
        sa.Column("pr_number", sa.Integer(), comment="Number of the pull request."),
        sa.Column("event_type", sa.Text(), nullable=False, comment="What was retrieved for."),
        sa.Column("top_k", sa.Integer(), comment="Results that were asked for."),
        sa.Column("distance_threshold", sa.Double(), comment="Largest distance that was allowed."),
        sa.Column("result_count", sa.Integer(), nullable=False, comment="Results that came back."),
        sa.Column("avg_distance", sa.Double(), comment="Their mean distance."),
        sa.Column(
            "language_match_ratio",
            sa.Double(),
            comment="Share of results in the language asked for.",
        ),
        sa.Column("threshold_method", sa.Text(), comment="How the threshold was found."),
        sa.CheckConstraint(
            "language_match_ratio >= 0 AND language_match_ratio <= 1",
            name="ck_retrieval_quality_events_language_match_ratio",
        ),
        sa.CheckConstraint("pr_number >= 1", name="ck_retrieval_quality_events_pr_number"),
        sa.CheckConstraint("result_count >= 0", name="ck_retrieval_quality_events_result_count"),
        sa.CheckConstraint("top_k >= 0", name="ck_retrieval_quality_events_top_k"),
        sa.PrimaryKeyConstraint("tenant", "id", name="pk_retrieval_quality_events"),
        comment="How good one retrieval was. One per delivery where a delivery is given.",
    )
    op.create_index(
        "ix_retrieval_quality_events_tenant_created_at",
        "retrieval_quality_events",
        ["tenant", "created_at"],
    )
    op.create_index(
        "ix_retrieval_quality_events_tenant_delivery_id",
        "retrieval_quality_events",
        ["tenant", "delivery_id"],
        unique=True,
        postgresql_where=sa.text("delivery_id IS NOT NULL"),
    )
    op.create_table(
        "telemetry_events",
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
        sa.Column("delivery_id", sa.Text(), comment="Webhook delivery that caused the run."),
        sa.Column("repo", sa.Text(), nullable=False, comment="Repository, as owner/name."),
        sa.Column("pr_number", sa.Integer(), comment="Number of the pull request."),
        sa.Column("pr_author", sa.Text(), comment="Who opened the pull request."),
        sa.Column("event_type", sa.Text(), nullable=False, comment="What was run."),
        sa.Column(
            "provider",
            sa.Text(),
            server_default="anthropic",
            nullable=False,
            comment="Who serves the model.",
        ),
        sa.Column("model", sa.Text(), nullable=False, comment="Model that was run."),
        sa.Column(
            "input_tokens",
            sa.BigInteger(),
            server_default=sa.text("0"),
            nullable=False,
            comment="Tokens read.",
        ),
        sa.Column(
            "output_tokens",
            sa.BigInteger(),
            server_default=sa.text("0"),
            nullable=False,
            comment="Tokens written.",
        ),
        sa.Column(
            "cache_read_tokens",
            sa.BigInteger(),
            server_default=sa.text("0"),
            nullable=False,
            comment="Tokens read from the provider's cache.",
        ),
        sa.Column(
            "cache_creation_tokens",
            sa.BigInteger(),
            server_default=sa.text("0"),
            nullable=False,
            comment="Tokens written to the provider's cache.",
        ),
        sa.Column(
            "duration_ms",
            sa.Integer(),
            server_default=sa.text("0"),
            nullable=False,
            comment="How long it took, in milliseconds.",
        ),
        sa.Column(
            "cost_usd",
            sa.Numeric(precision=12, scale=8),
            server_default=sa.text("0"),
            nullable=False,
            comment="What it cost, in US dollars; exact.",
        ),
        sa.Column("conclusion", sa.Text(), nullable=False, comment="How it ended."),
        sa.Column("session_id", sa.Text(), comment="The provider's session."),
        sa.Column("num_turns", sa.Integer(), comment="Turns of the conversation."),
        sa.Column("stop_reason", sa.Text(), comment="Why the model stopped."),
        sa.CheckConstraint(
            "cache_creation_tokens >= 0", name="ck_telemetry_events_cache_creation_tokens"
        ),
        sa.CheckConstraint("cache_read_tokens >= 0", name="ck_telemetry_events_cache_read_tokens"),
        sa.CheckConstraint("cost_usd >= 0", name="ck_telemetry_events_cost_usd"),
        sa.CheckConstraint("duration_ms >= 0", name="ck_telemetry_events_duration_ms"),
        sa.CheckConstraint("input_tokens >= 0", name="ck_telemetry_events_input_tokens"),
        sa.CheckConstraint("num_turns >= 0", name="ck_telemetry_events_num_turns"),
        sa.CheckConstraint("output_tokens >= 0", name="ck_telemetry_events_output_tokens"),
        sa.CheckConstraint("pr_number >= 1", name="ck_telemetry_events_pr_number"),
        sa.PrimaryKeyConstraint("tenant", "id", "created_at", name="pk_telemetry_events"),
        comment=(
            "One run of a model: tokens, time and money. Appended, purged by age, never changed."
        ),
        postgresql_partition_by="RANGE (created_at)",
    )
    op.execute("CREATE TABLE telemetry_events_default PARTITION OF telemetry_events DEFAULT")
    op.create_index(
        "ix_telemetry_events_tenant_repo_created_at",
        "telemetry_events",
        ["tenant", "repo", "created_at"],
    )


def downgrade() -> None:
    op.drop_table("resilience_events")
    op.drop_table("retrieval_quality_events")
    op.drop_table("rate_limit_events")
    op.drop_table("telemetry_events")
