"""Factories of telemetry."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from factory import fuzzy
from factory.declarations import LazyAttribute, LazyFunction, Sequence
from factory.faker import Faker

from domain.entities.telemetry import (
    RateLimitEvent,
    ResilienceEvent,
    ResilienceKind,
    RetrievalQualityEvent,
    TelemetryEvent,
)
from repositories.testing.factories.base import EntityFactory, new_id
from repositories.testing.factories.texts import REPOS


class TelemetryEventFactory(EntityFactory[TelemetryEvent]):
    """A run of a model that went well."""

    id: Any = LazyFunction(new_id)
    delivery_id: Any = Faker("uuid4")
    repo: Any = fuzzy.FuzzyChoice(REPOS)
    pr_number: Any = Sequence(lambda n: n + 1)
    pr_author: Any = Faker("user_name")
    event_type: Any = "review"
    model: Any = "reviewer-1"
    input_tokens: Any = fuzzy.FuzzyInteger(1_000, 50_000)
    output_tokens: Any = fuzzy.FuzzyInteger(100, 5_000)
    duration_ms: Any = fuzzy.FuzzyInteger(1_000, 90_000)
    cost_usd: Any = LazyAttribute(
        lambda event: (3 * event.input_tokens + 15 * event.output_tokens) * Decimal("0.000001")
    )
    conclusion: Any = "success"


class RateLimitEventFactory(EntityFactory[RateLimitEvent]):
    """A run that the code host slowed down a little."""

    id: Any = LazyFunction(new_id)
    delivery_id: Any = Faker("uuid4")
    repo: Any = fuzzy.FuzzyChoice(REPOS)
    pr_number: Any = Sequence(lambda n: n + 1)
    event_type: Any = "search"
    cache_hit_rate: Any = 0.5
    skipped_queries: Any = fuzzy.FuzzyInteger(0, 3)
    retry_attempts: Any = fuzzy.FuzzyInteger(0, 3)
    degradation_path: Any = "cached"


class RetrievalQualityEventFactory(EntityFactory[RetrievalQualityEvent]):
    """A retrieval that found what was asked for."""

    id: Any = LazyFunction(new_id)
    delivery_id: Any = Faker("uuid4")
    repo: Any = fuzzy.FuzzyChoice(REPOS)
    pr_number: Any = Sequence(lambda n: n + 1)
    event_type: Any = "review"
    top_k: Any = 10
    distance_threshold: Any = 0.7
    result_count: Any = fuzzy.FuzzyInteger(1, 10)
    avg_distance: Any = 0.4
    language_match_ratio: Any = 0.8
    threshold_method: Any = "fixed"


class ResilienceEventFactory(EntityFactory[ResilienceEvent]):
    """A run that timed out with part of its work done."""

    id: Any = LazyFunction(new_id)
    delivery_id: Any = Faker("uuid4")
    repo: Any = fuzzy.FuzzyChoice(REPOS)
    pr_number: Any = Sequence(lambda n: n + 1)
    pr_author: Any = Faker("user_name")
    event_type: Any = "review"
    kind: Any = ResilienceKind.TIMEOUT
    execution_conclusion: Any = "timeout_partial"
    had_inline_output: Any = True
    checkpoint_files_reviewed: Any = 4
    checkpoint_total_files: Any = 9
    timeout_classification_reasons: Any = ("large diff",)
