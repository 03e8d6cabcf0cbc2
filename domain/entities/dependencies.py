"""Merged pull requests that update dependencies."""

from __future__ import annotations

from enum import StrEnum

from sqlalchemy import text
from sqlmodel import Field

from domain.schema.base import Record
from domain.schema.columns import FrozenJsonb
from domain.schema.constraints import named_index, unique
from domain.values.jsonb import Json
from domain.values.numbers import Positive
from domain.values.text import Name, Text
from domain.values.timestamps import Timestamp


class BumpSource(StrEnum):
    """The program that opened a dependency update."""

    DEPENDABOT = "dependabot"
    RENOVATE = "renovate"
    UNKNOWN = "unknown"


class SemverBump(StrEnum):
    """The part of the version that an update changes."""

    MAJOR = "major"
    MINOR = "minor"
    PATCH = "patch"
    UNKNOWN = "unknown"


class MergeConfidence(StrEnum):
    """The estimated safety of merging an update."""

    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"


class AdvisoryStatus(StrEnum):
    """Whether a security advisory covers the old version."""

    NONE = "none"
    PRESENT = "present"
    UNKNOWN = "unknown"


class AdvisorySeverity(StrEnum):
    """The highest severity of the advisories, in their own terms."""

    CRITICAL = "critical"
    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"
    UNKNOWN = "unknown"


class DependencyBumpMerge(Record, table=True):
    """One merged pull request that updated a dependency.

    Lifecycle: written once by `dependency_bumps.record`; recording the same pull request again
    changes nothing. Never updated.

    Unique: `(tenant, repo, pr_number)`. Index: `(tenant, repo, package_name, merged_at, id)`, for
    `dependency_bumps.history`, newest first.
    """

    __tablename__ = "dep_bump_merge_history"
    __table_args__ = (
        unique("repo", "pr_number"),
        named_index(
            "ix_dep_bump_merge_history_package",
            "repo",
            "package_name",
            text("merged_at DESC NULLS LAST"),
            text("id DESC"),
        ),
    )

    repo: Name = Field(description="Repository, as owner/name.")
    pr_number: Positive = Field(description="Number of the pull request.")
    merged_at: Timestamp | None = Field(default=None, description="Time of the merge.")
    delivery_id: Name | None = Field(
        default=None, description="Webhook delivery that reported the merge."
    )
    source: BumpSource = Field(description="Program that opened the pull request.")
    signals: Json | None = Field(
        default=None,
        sa_type=FrozenJsonb,
        nullable=True,
        description="Signals that identified the pull request as an update.",
    )
    package_name: Name | None = Field(default=None, description="Name of the package.")
    old_version: Text | None = Field(default=None, description="Version before the update.")
    new_version: Text | None = Field(default=None, description="Version after the update.")
    semver_bump_type: SemverBump | None = Field(
        default=None, description="Part of the version that changed."
    )
    merge_confidence_level: MergeConfidence | None = Field(
        default=None, description="Estimated safety of the merge."
    )
    merge_confidence_rationale: Json | None = Field(
        default=None, sa_type=FrozenJsonb, nullable=True, description="Reasons for that estimate."
    )
    advisory_status: AdvisoryStatus | None = Field(
        default=None, description="Whether a security advisory covers the old version."
    )
    advisory_max_severity: AdvisorySeverity | None = Field(
        default=None, description="Highest severity of the advisories."
    )
    is_security_bump: bool | None = Field(
        default=None, description="Whether the update fixes a vulnerability."
    )
