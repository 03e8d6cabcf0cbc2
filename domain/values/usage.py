"""Sums of tokens, cost and duration of model runs."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum


class UsageBy(StrEnum):
    """The groups into which `telemetry.usage` adds up events."""

    MODEL = "model"
    REPO = "repo"
    DAY = "day"
    EVENT_TYPE = "event_type"


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """The sums of one group of telemetry events.

    `key` is the model, repository, event type or UTC day (`2026-11-21`) of the group. Tokens are
    exact integers, `cost_usd` exact decimals, `duration_ms` milliseconds.
    """

    key: str
    runs: int
    input_tokens: int
    output_tokens: int
    cache_read_tokens: int
    cache_creation_tokens: int
    duration_ms: int
    cost_usd: Decimal
