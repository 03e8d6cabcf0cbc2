"""Factories of telemetry."""

from __future__ import annotations

from decimal import Decimal

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

    id = LazyFunction(new_id)
    delivery_id = Faker("uuid4")
    repo = fuzzy.FuzzyChoice(REPOS)
    pr_number = Sequence(lambda n: n + 1)
    pr_author = Faker("user_name")
    event_type = "review"
    model = "reviewer-1"
    input_tokens = fuzzy.FuzzyInteger(1_000, 50_000)
    output_tokens = fuzzy.FuzzyInteger(100, 5_000)
    duration_ms = fuzzy.FuzzyInteger(1_000, 90_000)
    cost_usd = LazyAttribute(
        lambda event: (3 * event.input_tokens + 15 * event.output_tokens) * Decimal("0.000001")
    )
    conclusion = "success"


class RateLimitEventFactory(EntityFactory[RateLimitEvent]):
    """A run that the code host slowed down a little."""

    id = LazyFunction(new_id)
    delivery_id = Faker("uuid4")
    repo = fuzzy.FuzzyChoice(REPOS)
    pr_number = Sequence(lambda n: n + 1)
    event_type = "search"
    cache_hit_rate = 0.5
    skipped_queries = fuzzy.FuzzyInteger(0, 3)
    retry_attempts = fuzzy.FuzzyInteger(0, 3)
    degradation_path = "cached"


class RetrievalQualityEventFactory(EntityFactory[RetrievalQualityEvent]):
    """A retrieval that found what was asked for."""

    id = LazyFunction(new_id)
    delivery_id = Faker("uuid4")
    repo = fuzzy.FuzzyChoice(REPOS)
    pr_number = Sequence(lambda n: n + 1)
    event_type = "review"
    top_k = 10
    distance_threshold = 0.7
    result_count = fuzzy.FuzzyInteger(1, 10)
    avg_distance = 0.4
    language_match_ratio = 0.8
    threshold_method = "fixed"


class ResilienceEventFactory(EntityFactory[ResilienceEvent]):
    """A run that timed out with part of its work done."""

    id = LazyFunction(new_id)
    delivery_id = Faker("uuid4")
    repo = fuzzy.FuzzyChoice(REPOS)
    pr_number = Sequence(lambda n: n + 1)
    pr_author = Faker("user_name")
    event_type = "review"
    kind = ResilienceKind.TIMEOUT
    execution_conclusion = "timeout_partial"
    had_inline_output = True
    checkpoint_files_reviewed = 4
    checkpoint_total_files = 9
    timeout_classification_reasons = ("large diff",)
