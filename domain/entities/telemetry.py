"""Telemetry: model runs, rate limits, retrieval quality, and timeouts with their retries."""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum
from typing import Final

from sqlalchemy import ARRAY, func
from sqlalchemy import Text as SqlText
from sqlmodel import Field

from domain.schema.base import Entity, Record
from domain.schema.constraints import index, unique, unique_where_not_null
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

TIMEOUT_CONCLUSIONS: Final = ("timeout", "timeout_partial")
"""The conclusions of runs that reached their timeout."""


class ResilienceKind(StrEnum):
    """The kind of a resilience event."""

    TIMEOUT = "timeout"
    RETRY = "retry"


class TelemetryEvent(Record, table=True):
    """One run of a language model, with its tokens, duration and cost.

    Lifecycle:

    - Appended by `telemetry.record`, `telemetry.record_many` or a recorder. Never updated.
    - Deleted by `telemetry.purge`, or with its month by `Database.drop_telemetry_before`.

    The table is partitioned by the month of `created_at`, which is therefore part of the primary
    key. A default partition stores the rows of months that have no partition.

    Index: `(tenant, repo, created_at)`, usage over time.
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
        description="Time at which the row was written.",
    )
    delivery_id: Name | None = Field(
        default=None, description="Webhook delivery that caused the run."
    )
    repo: Name = Field(description="Repository, as owner/name.")
    pr_number: Positive | None = Field(default=None, description="Number of the pull request.")
    pr_author: Name | None = Field(
        default=None, description="Login of the author of the pull request."
    )
    event_type: Name = Field(description="Type of the run, such as review.")
    provider: Name = Field(default="anthropic", description="Provider of the model.")
    model: Name = Field(description="Name of the model.")
    input_tokens: BigCount = Field(default=0, description="Tokens of the input.")
    output_tokens: BigCount = Field(default=0, description="Tokens of the output.")
    cache_read_tokens: BigCount = Field(
        default=0, description="Tokens read from the provider's cache."
    )
    cache_creation_tokens: BigCount = Field(
        default=0, description="Tokens written to the provider's cache."
    )
    duration_ms: Count = Field(default=0, description="Duration of the run in milliseconds.")
    cost_usd: Cost = Field(
        default=Decimal(0),
        ge=0,
        max_digits=MAX_COST_DIGITS,
        decimal_places=COST_PLACES,
        description="Cost in US dollars, rounded half up to 8 places.",
    )
    conclusion: Name = Field(description="Result of the run, such as success.")
    session_id: Name | None = Field(default=None, description="Id of the session at the provider.")
    num_turns: Count | None = Field(
        default=None, description="Turns of the conversation with the model."
    )
    stop_reason: Text | None = Field(
        default=None, description="Reason for which the model stopped."
    )


class RateLimitEvent(Record, table=True):
    """The effect of the code host's rate limit on one run.

    Lifecycle: appended by `telemetry.record_rate_limit`, which ignores a second event of the same
    delivery and type. Deleted by `telemetry.purge`.

    Unique: `(tenant, delivery_id, event_type)` among rows with a delivery. Indexes:
    `(tenant, created_at)`, for `telemetry.purge`; `(tenant, repo, id)`, for `list`, `page` and
    `exists` of one repository.
    """

    __tablename__ = "rate_limit_events"
    __table_args__ = (
        unique_where_not_null("delivery_id", "event_type"),
        index("created_at"),
        index("repo", "id"),
    )

    delivery_id: Name | None = Field(
        default=None, description="Webhook delivery that caused the run."
    )
    repo: Name = Field(description="Repository, as owner/name.")
    pr_number: Positive | None = Field(default=None, description="Number of the pull request.")
    event_type: Name = Field(description="Type of the run, such as review.")
    cache_hit_rate: Ratio = Field(
        description="Share of lookups that the cache answered, from 0 to 1."
    )
    skipped_queries: Count = Field(description="Queries that the run skipped.")
    retry_attempts: Count = Field(description="Attempts after the first one.")
    degradation_path: Name = Field(description="Action of the run in place of the skipped queries.")


class RetrievalQualityEvent(Record, table=True):
    """The quality of one retrieval.

    Lifecycle: appended by `telemetry.record_retrieval_quality`, which ignores a second event of the
    same delivery. Deleted by `telemetry.purge`.

    Unique: `(tenant, delivery_id)` among rows with a delivery. Indexes: `(tenant, created_at)`, for
    `telemetry.purge`; `(tenant, repo, id)`, for `list`, `page` and `exists` of one repository.
    """

    __tablename__ = "retrieval_quality_events"
    __table_args__ = (
        unique_where_not_null("delivery_id"),
        index("created_at"),
        index("repo", "id"),
    )

    delivery_id: Name | None = Field(
        default=None, description="Webhook delivery that caused the retrieval."
    )
    repo: Name = Field(description="Repository, as owner/name.")
    pr_number: Positive | None = Field(default=None, description="Number of the pull request.")
    event_type: Name = Field(description="Type of the run that retrieved.")
    top_k: Count | None = Field(
        default=None, description="Number of results that the query requested."
    )
    distance_threshold: Finite | None = Field(
        default=None, description="Largest distance that the query allowed."
    )
    result_count: Count = Field(description="Number of results.")
    avg_distance: Finite | None = Field(default=None, description="Mean distance of the results.")
    language_match_ratio: Ratio | None = Field(
        default=None, description="Share of results in the requested language, from 0 to 1."
    )
    threshold_method: Name | None = Field(
        default=None, description="Method that determined the threshold."
    )


class ResilienceEvent(Record, table=True):
    """A timeout of one delivery, or a retry of one.

    Lifecycle: inserted or replaced by `telemetry.record_resilience`; a replaced event keeps its id
    and `created_at`. Deleted by `telemetry.purge`.

    Unique: `(tenant, delivery_id)`. Indexes: `(tenant, created_at)`, for `telemetry.purge`;
    `(tenant, repo, id)`, for `list`, `page` and `exists` of one repository.
    """

    __tablename__ = "resilience_events"
    __table_args__ = (unique("delivery_id"), index("created_at"), index("repo", "id"))

    delivery_id: Name = Field(description="Webhook delivery that timed out or is a retry.")
    repo: Name = Field(description="Repository, as owner/name.")
    pr_number: Positive | None = Field(default=None, description="Number of the pull request.")
    pr_author: Name | None = Field(
        default=None, description="Login of the author of the pull request."
    )
    event_type: Name = Field(description="Type of the run, such as review.")
    kind: ResilienceKind = Field(description="Kind of the event: timeout or retry.")
    parent_delivery_id: Name | None = Field(
        default=None, description="Webhook delivery that a retry repeats."
    )
    review_output_key: Key | None = Field(default=None, description="Key of the review output.")
    execution_conclusion: Name | None = Field(default=None, description="Result of the run.")
    had_inline_output: bool | None = Field(
        default=None, description="Whether inline comments had been posted."
    )
    checkpoint_files_reviewed: Count | None = Field(
        default=None, description="Files reviewed when the checkpoint was saved."
    )
    checkpoint_files_inspected: Count | None = Field(
        default=None, description="Files inspected when the checkpoint was saved."
    )
    checkpoint_finding_count: Count | None = Field(
        default=None, description="Findings when the checkpoint was saved."
    )
    checkpoint_total_files: Count | None = Field(
        default=None, description="All files of the pull request."
    )
    partial_comment_id: ExternalId | None = Field(
        default=None, description="Id of the comment with the partial result."
    )
    recent_timeouts: Count | None = Field(
        default=None, description="Recent timeouts of this author."
    )
    chronic_timeout: bool | None = Field(
        default=None, description="Whether the author has too many recent timeouts."
    )
    retry_enqueued: bool | None = Field(default=None, description="Whether a retry was enqueued.")
    retry_files_count: Count | None = Field(default=None, description="Files in the retry.")
    retry_scope_ratio: Ratio | None = Field(
        default=None, description="Share of the files that the retry covers, from 0 to 1."
    )
    retry_timeout_seconds: Count | None = Field(
        default=None, description="Timeout of the retry, in seconds."
    )
    retry_risk_level: Name | None = Field(default=None, description="Estimated risk of the retry.")
    retry_checkpoint_enabled: bool | None = Field(
        default=None, description="Whether the retry saves checkpoints."
    )
    retry_has_results: bool | None = Field(
        default=None, description="Whether the retry had results."
    )
    timeout_classification: Name | None = Field(
        default=None, description="Classification of the timeout."
    )
    timeout_classification_mode: Name | None = Field(
        default=None, description="Method of the classification."
    )
    timeout_classification_reasons: tuple[Text, ...] = Field(
        default=(),
        sa_type=ARRAY(SqlText(), as_tuple=True),
        nullable=False,
        description="Reasons for the classification.",
    )


TELEMETRY_ENTITIES: Final[tuple[type[Entity], ...]] = (
    TelemetryEvent,
    RateLimitEvent,
    RetrievalQualityEvent,
    ResilienceEvent,
)
"""The entities whose old rows `telemetry.purge` deletes, in this order."""
