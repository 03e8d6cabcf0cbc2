"""The library's own tables: committed operations and the state of re-embedding jobs."""

from __future__ import annotations

from enum import StrEnum
from uuid import UUID

from sqlalchemy import func
from sqlmodel import Field
from uuid_utils.compat import uuid7

from domain.schema.base import Entity, Owned, Timestamped
from domain.schema.constraints import index
from domain.values.numbers import Count
from domain.values.text import Name, Text
from domain.values.timestamps import Timestamp


class RepairStatus(StrEnum):
    """The status of a re-embedding job."""

    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"


class CommittedOperation(Timestamped, Owned, Entity, table=True):
    """An operation that a unit of work committed: the row is part of the same transaction.

    The unit of work writes it if you pass an `operation_id`. `Database.maintain(keep_operations=…)`
    deletes old rows; index `(tenant, created_at)`.
    """

    __tablename__ = "committed_operations"
    __table_args__ = (index("created_at"),)

    operation_id: UUID = Field(
        default_factory=uuid7, primary_key=True, description="Id that the caller passed."
    )
    attempt_id: UUID | None = Field(
        default_factory=uuid7,
        description="Id of the unit of work that committed it; null in rows of older versions.",
    )


class EmbeddingRepair(Timestamped, Owned, Entity, table=True):
    """The progress of one re-embedding job.

    The cursor moves in the transaction that writes the new embeddings.
    """

    __tablename__ = "embedding_repairs"

    corpus: Name = Field(primary_key=True, description="Table whose rows are embedded again.")
    key: Name = Field(primary_key=True, description="The job's own name.")
    target_model: Name = Field(description="Model that makes the new embeddings.")
    status: RepairStatus = Field(default=RepairStatus.RUNNING, description="Where the job stands.")
    cursor: UUID | None = Field(
        default=None, description="Last row that was passed; nothing before it is left."
    )
    processed: Count = Field(default=0, description="Rows passed.")
    repaired: Count = Field(default=0, description="Rows given a new embedding.")
    skipped: Count = Field(default=0, description="Rows that needed none.")
    failed: Count = Field(default=0, description="Rows that could not be embedded.")
    failures: Count = Field(default=0, description="Batches that failed in a row.")
    last_failure: Text | None = Field(
        default=None, description="What the last one failed with; never a row's text."
    )
    updated_at: Timestamp | None = Field(
        default=None,
        nullable=False,
        sa_column_kwargs={"server_default": func.now()},
        description="When the job last moved.",
    )
