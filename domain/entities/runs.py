"""Runs of the reviewer, and checkpoints of their progress."""

from __future__ import annotations

from typing import Annotated, Any, Final, Self, TypeAlias
from uuid import UUID

from annotated_types import MaxLen
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    ModelWrapValidatorHandler,
    model_validator,
)
from sqlalchemy import Index, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import TypeDecorator
from sqlmodel import Field
from uuid_utils.compat import uuid7

from domain.errors import InvalidInput
from domain.schema.base import Record
from domain.schema.constraints import index, unique
from domain.values.claims import RunStatus
from domain.values.numbers import Count, ExternalId, Positive
from domain.values.redaction import without_input
from domain.values.text import MAX_TEXT_LENGTH, Key, Name, Text
from domain.values.timestamps import Timestamp


class RunState(Record, table=True):
    """One run: the review of one head of a pull request against one base.

    Lifecycle: a claim creates the run as pending, and its lease expires after `STALE_RUN_AFTER`. A
    heartbeat makes it running and extends the lease. It ends completed or superseded, and a claim
    can make it pending again (`ALLOWED_CHANGES`). Only `runs.claim`, `runs.heartbeat` and
    `runs.complete` change `status` and `attempt`; an assignment raises `InvalidInput`.
    `completed_at` stays when a completed run is claimed again.

    Unique: `(tenant, run_key)`, and `(tenant, repo, pr_number)` among unfinished runs: a pull
    request has at most one.

    Indexes:

    - `(tenant, repo, pr_number, status)`: `last_reviewed_head`
    - `(tenant, status, completed_at)`, `(tenant, status, claimed_at)`: `purge`
    """

    managed_fields = frozenset(
        {
            "status",
            "attempt",
            "claimed_at",
            "lease_expires_at",
            "completed_at",
            "superseded_by",
        }
    )

    __tablename__ = "run_state"
    __table_args__ = (
        unique("run_key"),
        index("repo", "pr_number", "status"),
        index("status", "completed_at"),
        index("status", "claimed_at"),
        # Concurrent claims of different heads do not see each other's rows. This index makes one
        # of them wait for the other.
        Index(
            None,
            "tenant",
            "repo",
            "pr_number",
            unique=True,
            postgresql_where=text("status IN ('pending', 'running')"),
        ),
    )

    run_key: Key = Field(description="Key of repository, pull request, base and head.")
    repo: Name = Field(description="Repository, as owner/name.")
    pr_number: Positive = Field(description="Number of the pull request.")
    base_sha: Name = Field(description="Commit that the pull request starts from.")
    head_sha: Name = Field(description="Commit to review.")
    delivery_id: Name = Field(description="Webhook delivery that claimed the run last.")
    action: Name = Field(description="Event of the pull request.")
    status: RunStatus = Field(default=RunStatus.PENDING, description="Status of the run.")
    attempt: UUID = Field(
        default_factory=uuid7,
        sa_column_kwargs={"server_default": func.gen_random_uuid()},
        description="Token of the claim that has the run.",
    )
    claimed_at: Timestamp | None = Field(
        default=None,
        nullable=False,
        sa_column_kwargs={"server_default": func.now()},
        description="Time of the last claim.",
    )
    lease_expires_at: Timestamp | None = Field(
        default=None, description="Time at which another claim can take an unfinished run."
    )
    occurred_at: Timestamp | None = Field(
        default=None, description="Time of the event that claimed the run last."
    )
    completed_at: Timestamp | None = Field(
        default=None, description="Time of the last completed review of this head."
    )
    superseded_by: Key | None = Field(
        default=None, description="Key of the run that superseded this run."
    )

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _CHANGED_BY_METHODS:
            raise InvalidInput(
                f"{name} of a run cannot be assigned: use runs.claim, runs.heartbeat or"
                " runs.complete",
                field=name,
            )
        super().__setattr__(name, value)


_CHANGED_BY_METHODS: Final = frozenset({"status", "attempt"})


MAX_FILES: Final = 50_000
"""The most files in each list of `CheckpointData`."""


def _bounded(files: tuple[str, ...]) -> tuple[str, ...]:
    if sum(map(len, files)) > MAX_TEXT_LENGTH:
        raise ValueError(f"has more than {MAX_TEXT_LENGTH:,} characters")
    return files


Files: TypeAlias = Annotated[tuple[Text, ...], MaxLen(MAX_FILES), AfterValidator(_bounded)]


class CheckpointData(BaseModel):
    """Progress of an interrupted review."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    files_reviewed: Files = ()
    files_inspected: Files = ()
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
    """Progress of one review, from which the next attempt continues.

    Lifecycle: saved repeatedly under its `review_output_key`, deleted when the review is complete.
    Unique: `(tenant, review_output_key)`. Index: `(tenant, repo, id)`, for `list`, `page` and
    `exists` of one repository.
    """

    __tablename__ = "review_checkpoints"
    __table_args__ = (unique("review_output_key"), index("repo", "id"))

    review_output_key: Key = Field(description="Key of the output of the review.")
    repo: Name = Field(description="Repository, as owner/name.")
    pr_number: Positive = Field(description="Number of the pull request.")
    checkpoint_data: CheckpointData = Field(
        sa_type=_CheckpointJsonb, description="Progress of the review."
    )
    partial_comment_id: ExternalId | None = Field(
        default=None, description="Comment with the partial result."
    )
