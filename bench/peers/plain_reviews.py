"""The tables of reviews and findings as SQLModel classes: they validate nothing."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, DateTime, MetaData, func
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, Relationship, SQLModel
from uuid_utils.compat import uuid7

METADATA = MetaData()  # not among the entities


class PlainReview(SQLModel, table=True):
    __tablename__ = "reviews"  # pyright: ignore[reportAssignmentType] -- as SQLModel has it done
    metadata = METADATA

    tenant: str = Field(default="default", primary_key=True)
    id: UUID = Field(default_factory=uuid7, primary_key=True)
    created_at: datetime | None = Field(
        default=None,
        sa_type=DateTime(timezone=True),
        sa_column_kwargs={"server_default": func.now()},
    )
    repo: str
    pr_number: int
    head_sha: str | None = None
    delivery_id: str | None = None
    files_analyzed: int = 0
    lines_changed: int = 0
    findings_critical: int = 0
    findings_major: int = 0
    findings_medium: int = 0
    findings_minor: int = 0
    findings_total: int = 0
    suppressions_applied: int = 0
    config_snapshot: dict[str, Any] | None = Field(default=None, sa_type=JSONB)
    duration_ms: int | None = None
    model: str | None = None
    conclusion: str = "unknown"


class PlainFinding(SQLModel, table=True):
    __tablename__ = "findings"  # pyright: ignore[reportAssignmentType] -- as SQLModel has it done
    metadata = METADATA

    tenant: str = Field(default="default", primary_key=True)
    id: UUID = Field(default_factory=uuid7, primary_key=True)
    created_at: datetime | None = Field(
        default=None,
        sa_type=DateTime(timezone=True),
        sa_column_kwargs={"server_default": func.now()},
    )
    review_id: UUID = Field(foreign_key="reviews.id")
    repo: str
    file_path: str
    start_line: int | None = None
    end_line: int | None = None
    severity: str
    category: str
    confidence: int
    title: str
    suppressed: bool = False
    suppression_pattern: str | None = None
    comment_id: int | None = Field(default=None, sa_type=BigInteger)
    comment_surface: str | None = None
    review_output_key: str | None = None
    review: PlainReview = Relationship()
