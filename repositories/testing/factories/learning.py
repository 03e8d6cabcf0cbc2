"""Factories of learning memories and patterns."""

from __future__ import annotations

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

    id = LazyFunction(new_id)
    repo = SelfAttribute("finding.repo")
    owner = LazyAttribute(lambda memory: memory.repo.partition("/")[0])
    finding_id = SelfAttribute("finding.id")
    review_id = SelfAttribute("finding.review_id")
    source_repo = SelfAttribute("repo")
    finding_text = SelfAttribute("finding.title")
    severity = SelfAttribute("finding.severity")
    category = SelfAttribute("finding.category")
    file_path = SelfAttribute("finding.file_path")
    outcome = Outcome.ACCEPTED
    embedding_model = MODEL
    embedding = LazyFunction(new_embedding)


class GlobalPatternFactory(EntityFactory[GlobalPattern]):
    """A kind of finding that was seen a few times."""

    class Params:
        issue = LazyFunction(any_issue)

    id = LazyFunction(new_id)
    severity = SelfAttribute("issue.severity")
    category = SelfAttribute("issue.category")
    confidence_band = ConfidenceBand.HIGH
    pattern_fingerprint = LazyAttributeSequence(
        lambda pattern, n: title_fingerprint(f"{worded(pattern.issue.title)} {n}")
    )
    count = fuzzy.FuzzyInteger(1, 20)
