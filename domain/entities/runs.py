"""Runs of the reviewer: who works on which head of a pull request, and how far a run has come."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ModelWrapValidatorHandler, model_validator
from sqlalchemy import Index, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import TypeDecorator
from sqlmodel import Field

from domain.schema.base import Record
from domain.schema.constraints import index, unique
from domain.values.numbers import Count, ExternalId, Positive
from domain.values.redaction import without_input
from domain.values.text import Key, Name, Text
from domain.values.timestamps import Timestamp

STALE_RUN_AFTER = timedelta(hours=1)
"""A run that has been pending for longer was abandoned and may be claimed again."""


class RunStatus(StrEnum):
    """Where a run stands.

    Pending and running are unfinished; a completed or superseded run never changes again.
    """

    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    SUPERSEDED = "superseded"


UNFINISHED = frozenset({RunStatus.PENDING, RunStatus.RUNNING})

ALLOWED_CHANGES: dict[RunStatus, frozenset[RunStatus]] = {
    RunStatus.PENDING: frozenset(
        {RunStatus.PENDING, RunStatus.RUNNING, RunStatus.COMPLETED, RunStatus.SUPERSEDED}
    ),
    RunStatus.RUNNING: frozenset({RunStatus.COMPLETED, RunStatus.SUPERSEDED}),
    RunStatus.COMPLETED: frozenset(),
    RunStatus.SUPERSEDED: frozenset(),
}
"""What each status may become."""


class RunState(Record, table=True):
    """One claim to review one head of a pull request against one base.

    Lifecycle: `ALLOWED_CHANGES`; of any number of concurrent claims exactly one wins. Unique:
        `(tenant, run_key)`, and of the
    unfinished runs `(tenant, repo, pr_number)`: a pull request has one at most.
    Indexes: those, and `(tenant, repo, pr_number, status)` for the other runs of a pull request.
    """

    __tablename__ = "run_state"
    __table_args__ = (
        unique("run_key"),
        index("repo", "pr_number", "status"),
        # Concurrent claims of different heads do not see each other's rows; this index is where
        # they meet.
        Index(
            None,
            "tenant",
            "repo",
            "pr_number",
            unique=True,
            postgresql_where=text("status IN ('pending', 'running')"),
        ),
    )

    run_key: Key = Field(description="Names repository, pull request, base and head.")
    repo: Name = Field(description="Repository, as owner/name.")
    pr_number: Positive = Field(description="Number of the pull request.")
    base_sha: Name = Field(description="Commit that the pull request starts from.")
    head_sha: Name = Field(description="Commit that is reviewed.")
    delivery_id: Name = Field(description="Webhook delivery that asked for the run.")
    action: Name = Field(description="What happened to the pull request.")
    status: RunStatus = Field(default=RunStatus.PENDING, description="Where the run stands.")
    claimed_at: Timestamp | None = Field(
        default=None,
        nullable=False,
        sa_column_kwargs={"server_default": func.now()},
        description="When the stale clock started.",
    )
    completed_at: Timestamp | None = Field(default=None, description="When it was completed.")
    superseded_by: Key | None = Field(default=None, description="Run key that took its place.")


class CheckpointData(BaseModel):
    """How far an interrupted review had come."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    files_reviewed: tuple[Text, ...] = ()
    files_inspected: tuple[Text, ...] = ()
    finding_count: Count = 0
    summary_draft: Text = ""
    total_files: Count = 0

    @model_validator(mode="wrap")
    @classmethod
    def _refuse_without_input(cls, data: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        return without_input(cls.__name__, lambda: handler(data))


class _CheckpointJsonb(TypeDecorator[CheckpointData]):
    impl = JSONB(none_as_null=True)
    cache_ok = True

    def process_bind_param(self, value: CheckpointData | None, dialect: object) -> Any:
        return None if value is None else value.model_dump(mode="json")

    def process_result_value(self, value: Any | None, dialect: object) -> CheckpointData | None:
        return None if value is None else CheckpointData.model_validate(value)


class ReviewCheckpoint(Record, table=True):
    """How far one review has come, so that the next attempt goes on from there.

    Lifecycle: saved again and again under its `review_output_key`, deleted when the review is done.
        Unique: `(tenant,
    review_output_key)`.
    """

    __tablename__ = "review_checkpoints"
    __table_args__ = (unique("review_output_key"),)

    review_output_key: Key = Field(description="Output of the review that is being made.")
    repo: Name = Field(description="Repository, as owner/name.")
    pr_number: Positive = Field(description="Number of the pull request.")
    checkpoint_data: CheckpointData = Field(
        sa_type=_CheckpointJsonb, description="How far it has come."
    )
    partial_comment_id: ExternalId | None = Field(
        default=None, description="Comment with the partial result."
    )
