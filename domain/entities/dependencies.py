"""What is known of authors and of dependency bumps that were merged."""

from __future__ import annotations

from enum import StrEnum

from sqlmodel import Field

from domain.schema.base import Record
from domain.schema.columns import FrozenJsonb
from domain.schema.constraints import index, unique
from domain.values.jsonb import Json
from domain.values.numbers import Positive
from domain.values.text import Name, Text
from domain.values.timestamps import Timestamp


class BumpSource(StrEnum):
    """Who opened a dependency bump."""

    DEPENDABOT = "dependabot"
    RENOVATE = "renovate"
    UNKNOWN = "unknown"


class SemverBump(StrEnum):
    """Which part of the version a bump changes."""

    MAJOR = "major"
    MINOR = "minor"
    PATCH = "patch"
    UNKNOWN = "unknown"


class MergeConfidence(StrEnum):
    """How safe a bump was thought to merge."""

    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"


class AdvisoryStatus(StrEnum):
    """Whether an advisory names the old version."""

    NONE = "none"
    PRESENT = "present"
    UNKNOWN = "unknown"


class AdvisorySeverity(StrEnum):
    """The worst severity of the advisories, in their own words."""

    CRITICAL = "critical"
    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"
    UNKNOWN = "unknown"


class DependencyBumpMerge(Record, table=True):
    """One merged pull request that bumped a dependency. The first to arrive wins.

    Unique: `(tenant, repo, pr_number)`. Index: `(tenant, repo, package_name)` for a package's
        history.
    """

    __tablename__ = "dep_bump_merge_history"
    __table_args__ = (unique("repo", "pr_number"), index("repo", "package_name"))

    repo: Name = Field(description="Repository, as owner/name.")
    pr_number: Positive = Field(description="Number of the pull request.")
    merged_at: Timestamp | None = Field(default=None, description="When it was merged.")
    delivery_id: Name | None = Field(default=None, description="Webhook delivery that told of it.")
    source: BumpSource = Field(description="Who opened it.")
    signals: Json | None = Field(
        default=None, sa_type=FrozenJsonb, nullable=True, description="What it was recognised by."
    )
    package_name: Name | None = Field(default=None, description="Package that was bumped.")
    old_version: Text | None = Field(default=None, description="Version before.")
    new_version: Text | None = Field(default=None, description="Version after.")
    semver_bump_type: SemverBump | None = Field(
        default=None, description="Which part of the version changed."
    )
    merge_confidence_level: MergeConfidence | None = Field(
        default=None, description="How safe it was thought to merge."
    )
    merge_confidence_rationale: Json | None = Field(
        default=None, sa_type=FrozenJsonb, nullable=True, description="Why it was thought so."
    )
    advisory_status: AdvisoryStatus | None = Field(
        default=None, description="Whether an advisory names the old version."
    )
    advisory_max_severity: AdvisorySeverity | None = Field(
        default=None, description="The worst of the advisories."
    )
    is_security_bump: bool | None = Field(
        default=None, description="Whether it closes a vulnerability."
    )
