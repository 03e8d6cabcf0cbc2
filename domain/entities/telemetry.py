"""What it cost and how it went: four append-only tables of events."""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum

from sqlalchemy import ARRAY, func
from sqlalchemy import Text as SqlText
from sqlmodel import Field

from domain.schema.base import Record
from domain.schema.constraints import index, unique, unique_where_given
from domain.values.numbers import (
    COST_PLACES,
    MAX_COST_DIGITS,
    BigCount,
    Cost,
    Count,
    ExternalId,
    Finite,
    Positive,
    Ratio,
)
from domain.values.text import Key, Name, Text
from domain.values.timestamps import Timestamp


class ResilienceKind(StrEnum):
    """What a resilience event tells of."""

    TIMEOUT = "timeout"
    RETRY = "retry"


class TelemetryEvent(Record, table=True):
    """One run of a model: tokens, time and money. Appended, purged by age, never changed.

    Partitioned by month of `created_at`, which is therefore part of the key; a default partition
    takes what no month does. Index: `(tenant, repo, created_at)` for usage over time.
    """

    __tablename__ = "telemetry_events"
    __table_args__ = (
        index("repo", "created_at"),
        {"postgresql_partition_by": "RANGE (created_at)"},
    )

    created_at: Timestamp | None = Field(
        default=None,
        primary_key=True,
        sa_column_kwargs={"server_default": func.now()},
        description="When the row was written.",
    )
    delivery_id: Name | None = Field(
        default=None, description="Webhook delivery that caused the run."
    )
    repo: Name = Field(description="Repository, as owner/name.")
    pr_number: Positive | None = Field(default=None, description="Number of the pull request.")
    pr_author: Name | None = Field(default=None, description="Who opened the pull request.")
    event_type: Name = Field(description="What was run.")
    provider: Name = Field(default="anthropic", description="Who serves the model.")
    model: Name = Field(description="Model that was run.")
    input_tokens: BigCount = Field(default=0, description="Tokens read.")
    output_tokens: BigCount = Field(default=0, description="Tokens written.")
    cache_read_tokens: BigCount = Field(
        default=0, description="Tokens read from the provider's cache."
    )
    cache_creation_tokens: BigCount = Field(
        default=0, description="Tokens written to the provider's cache."
    )
    duration_ms: Count = Field(default=0, description="How long it took, in milliseconds.")
    cost_usd: Cost = Field(
        default=Decimal(0),
        ge=0,
        max_digits=MAX_COST_DIGITS,
        decimal_places=COST_PLACES,
        description="Cost in US dollars, rounded half up to 8 places.",
    )
    conclusion: Name = Field(description="How it ended.")
    session_id: Name | None = Field(default=None, description="The provider's session.")
    num_turns: Count | None = Field(default=None, description="Turns of the conversation.")
    stop_reason: Text | None = Field(default=None, description="Why the model stopped.")


class RateLimitEvent(Record, table=True):
    """How a run coped with the code host's rate limit.

    One per delivery and type where a delivery is given.
    """

    __tablename__ = "rate_limit_events"
    __table_args__ = (unique_where_given("delivery_id", "event_type"), index("created_at"))

    delivery_id: Name | None = Field(
        default=None, description="Webhook delivery that caused the run."
    )
    repo: Name = Field(description="Repository, as owner/name.")
    pr_number: Positive | None = Field(default=None, description="Number of the pull request.")
    event_type: Name = Field(description="What was run.")
    cache_hit_rate: Ratio = Field(description="Share of look-ups that the cache answered.")
    skipped_queries: Count = Field(description="Queries that were left out.")
    retry_attempts: Count = Field(description="Attempts after the first.")
    degradation_path: Name = Field(description="What was done instead.")


class RetrievalQualityEvent(Record, table=True):
    """How good one retrieval was. One per delivery where a delivery is given."""

    __tablename__ = "retrieval_quality_events"
    __table_args__ = (unique_where_given("delivery_id"), index("created_at"))

    delivery_id: Name | None = Field(
        default=None, description="Webhook delivery that caused the retrieval."
    )
    repo: Name = Field(description="Repository, as owner/name.")
    pr_number: Positive | None = Field(default=None, description="Number of the pull request.")
    event_type: Name = Field(description="What was retrieved for.")
    top_k: Count | None = Field(default=None, description="Results that were asked for.")
    distance_threshold: Finite | None = Field(
        default=None, description="Largest distance that was allowed."
    )
    result_count: Count = Field(description="Results that came back.")
    avg_distance: Finite | None = Field(default=None, description="Their mean distance.")
    language_match_ratio: Ratio | None = Field(
        default=None, description="Share of results in the language asked for."
    )
    threshold_method: Name | None = Field(default=None, description="How the threshold was found.")


class ResilienceEvent(Record, table=True):
    """A timeout or a retry of one delivery. Replaced whole when told again, keeping id and
    `created_at`.

    Unique: `(tenant, delivery_id)`.
    """

    __tablename__ = "resilience_events"
    __table_args__ = (unique("delivery_id"), index("created_at"))

    delivery_id: Name = Field(description="Webhook delivery that timed out or was retried.")
    repo: Name = Field(description="Repository, as owner/name.")
    pr_number: Positive | None = Field(default=None, description="Number of the pull request.")
    pr_author: Name | None = Field(default=None, description="Who opened the pull request.")
    event_type: Name = Field(description="What was run.")
    kind: ResilienceKind = Field(description="Timeout or retry.")
    parent_delivery_id: Name | None = Field(
        default=None, description="Delivery that a retry belongs to."
    )
    review_output_key: Key | None = Field(default=None, description="Output of the review.")
    execution_conclusion: Name | None = Field(default=None, description="How the run ended.")
    had_inline_output: bool | None = Field(
        default=None, description="Whether comments had been posted."
    )
    checkpoint_files_reviewed: Count | None = Field(
        default=None, description="Files reviewed by then."
    )
    checkpoint_files_inspected: Count | None = Field(
        default=None, description="Files inspected by then."
    )
    checkpoint_finding_count: Count | None = Field(default=None, description="Findings by then.")
    checkpoint_total_files: Count | None = Field(default=None, description="Files in all.")
    partial_comment_id: ExternalId | None = Field(
        default=None, description="Comment with the partial result."
    )
    recent_timeouts: Count | None = Field(
        default=None, description="Timeouts of this author lately."
    )
    chronic_timeout: bool | None = Field(default=None, description="Whether that is too many.")
    retry_enqueued: bool | None = Field(default=None, description="Whether a retry was enqueued.")
    retry_files_count: Count | None = Field(default=None, description="Files in the retry.")
    retry_scope_ratio: Ratio | None = Field(
        default=None, description="Share of the files that the retry looks at."
    )
    retry_timeout_seconds: Count | None = Field(
        default=None, description="Timeout of the retry, in seconds."
    )
    retry_risk_level: Name | None = Field(
        default=None, description="How risky the retry was thought."
    )
    retry_checkpoint_enabled: bool | None = Field(
        default=None, description="Whether the retry keeps checkpoints."
    )
    retry_has_results: bool | None = Field(
        default=None, description="Whether the retry had results."
    )
    timeout_classification: Name | None = Field(default=None, description="Kind of timeout.")
    timeout_classification_mode: Name | None = Field(
        default=None, description="How that was found."
    )
    timeout_classification_reasons: tuple[Text, ...] = Field(
        default=(),
        sa_type=ARRAY(SqlText(), as_tuple=True),
        nullable=False,
        description="Why it was thought so.",
    )
