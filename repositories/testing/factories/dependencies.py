"""Factories of dependency bumps."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from factory import fuzzy
from factory.declarations import LazyFunction, Sequence
from factory.faker import Faker

from domain.entities.dependencies import (
    AdvisoryStatus,
    BumpSource,
    DependencyBumpMerge,
    MergeConfidence,
    SemverBump,
)
from repositories.testing.factories.base import SEEDED_FROM, EntityFactory, new_id
from repositories.testing.factories.texts import REPOS


class DependencyBumpMergeFactory(EntityFactory[DependencyBumpMerge]):
    """A merged update of a minor version, by a bot."""

    id: Any = LazyFunction(new_id)
    repo: Any = fuzzy.FuzzyChoice(REPOS)
    pr_number: Any = Sequence(lambda n: n + 1)
    merged_at: Any = fuzzy.FuzzyDateTime(SEEDED_FROM, SEEDED_FROM + timedelta(days=30))
    delivery_id: Any = Faker("uuid4")
    source: Any = BumpSource.DEPENDABOT
    signals: Any = LazyFunction(lambda: {"title": True, "branch": True})
    package_name: Any = fuzzy.FuzzyChoice(("requests", "django", "left-pad"))
    old_version: Any = "1.4.0"
    new_version: Any = "1.5.0"
    semver_bump_type: Any = SemverBump.MINOR
    merge_confidence_level: Any = MergeConfidence.HIGH
    merge_confidence_rationale: Any = LazyFunction(lambda: ["the tests passed"])
    advisory_status: Any = AdvisoryStatus.NONE
    is_security_bump: Any = False
