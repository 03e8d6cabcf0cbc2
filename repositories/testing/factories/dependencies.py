"""Factories of dependency bumps."""

from __future__ import annotations

from datetime import timedelta

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

    id = LazyFunction(new_id)
    repo = fuzzy.FuzzyChoice(REPOS)
    pr_number = Sequence(lambda n: n + 1)
    merged_at = fuzzy.FuzzyDateTime(SEEDED_FROM, SEEDED_FROM + timedelta(days=30))
    delivery_id = Faker("uuid4")
    source = BumpSource.DEPENDABOT
    signals = LazyFunction(lambda: {"title": True, "branch": True})
    package_name = fuzzy.FuzzyChoice(("requests", "django", "left-pad"))
    old_version = "1.4.0"
    new_version = "1.5.0"
    semver_bump_type = SemverBump.MINOR
    merge_confidence_level = MergeConfidence.HIGH
    merge_confidence_rationale = LazyFunction(lambda: ["the tests passed"])
    advisory_status = AdvisoryStatus.NONE
    is_security_bump = False
