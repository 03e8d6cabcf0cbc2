"""Factories of learning memories and patterns."""

from __future__ import annotations

from typing import Any

from factory import fuzzy
from factory.declarations import (
    LazyAttribute,
    LazyAttributeSequence,
    LazyFunction,
    SelfAttribute,
    SubFactory,
)

from domain.entities.learning import ConfidenceBand, GlobalPattern, LearningMemory, Outcome
from domain.values.fingerprints import title_fingerprint
from repositories.testing.factories.base import EntityFactory, new_embedding, new_id
from repositories.testing.factories.knowledge import MODEL
from repositories.testing.factories.reviews import FindingFactory
from repositories.testing.factories.texts import any_issue, worded


class LearningMemoryFactory(EntityFactory[LearningMemory]):
    """Builds the memory of a `finding`, whose facts it repeats, with a random embedding.

    By default, the finding is a new one that is not written.
    """

    class Params:
        finding = SubFactory(FindingFactory)

    id: Any = LazyFunction(new_id)
    repo: Any = SelfAttribute("finding.repo")
    owner: Any = LazyAttribute(lambda memory: memory.repo.partition("/")[0])
    finding_id: Any = SelfAttribute("finding.id")
    review_id: Any = SelfAttribute("finding.review_id")
    source_repo: Any = SelfAttribute("repo")
    finding_text: Any = SelfAttribute("finding.title")
    severity: Any = SelfAttribute("finding.severity")
    category: Any = SelfAttribute("finding.category")
    file_path: Any = SelfAttribute("finding.file_path")
    outcome: Any = Outcome.ACCEPTED
    embedding_model: Any = MODEL
    embedding: Any = LazyFunction(new_embedding)


class GlobalPatternFactory(EntityFactory[GlobalPattern]):
    """A kind of finding that was seen a few times."""

    class Params:
        issue = LazyFunction(any_issue)

    id: Any = LazyFunction(new_id)
    severity: Any = SelfAttribute("issue.severity")
    category: Any = SelfAttribute("issue.category")
    confidence_band: Any = ConfidenceBand.HIGH
    pattern_fingerprint: Any = LazyAttributeSequence(
        lambda pattern, n: title_fingerprint(f"{worded(pattern.issue.title)} {n}")
    )
    count: Any = fuzzy.FuzzyInteger(1, 20)
