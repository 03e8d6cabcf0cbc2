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
    """The progress of one job that computes embeddings again.

    Lifecycle:

    - Inserted or replaced by `save_repair_state`, and by each batch in the transaction that writes
      its embeddings. A job that was killed continues after `cursor`.
    - Ends completed or failed; a later run of the job can set it to running again.

    The primary key `(tenant, corpus, key)` serves every read.
    """

    __tablename__ = "embedding_repairs"

    corpus: Name = Field(primary_key=True, description="Table whose rows get new embeddings.")
    key: Name = Field(primary_key=True, description="Name of the job, which the caller chooses.")
    target_model: Name = Field(description="Model of the new embeddings.")
    status: RepairStatus = Field(default=RepairStatus.RUNNING, description="Status of the job.")
    cursor: UUID | None = Field(
        default=None,
        description="Id of the last row that the job has processed; it continues after it.",
    )
    processed: Count = Field(default=0, description="Rows that the job has processed.")
    repaired: Count = Field(default=0, description="Rows with a new embedding.")
    skipped: Count = Field(default=0, description="Rows that needed no new embedding.")
    failed: Count = Field(default=0, description="Rows whose embedding failed.")
    failures: Count = Field(default=0, description="Consecutive batches that failed.")
    last_failure: Text | None = Field(
        default=None, description="Error of the last failed batch; never contains a row's text."
    )
    updated_at: Timestamp | None = Field(
        default=None,
        nullable=False,
        sa_column_kwargs={"server_default": func.now()},
        description="Time of the last change of this row.",
    )
