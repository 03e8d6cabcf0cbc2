"""Counts of a recorder's events."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class RecorderFigures:
    """Counts of events since the recorder was entered.

    `recorded` is the sum of `written`, `refused`, `failed`, `unknown` and `queued`.

    Attributes:
        recorded: events that the recorder took.
        written: events that are committed.
        refused: events that can never be stored.
        failed: events that could not be written within `retry_for`.
        unknown: events whose commit has an unknown outcome.
        dropped: events that the recorder did not take, because the queue was full.
        queued: events that are in memory now.
        groups: committed transactions.
    """

    recorded: int = 0
    written: int = 0
    refused: int = 0
    failed: int = 0
    unknown: int = 0
    dropped: int = 0
    queued: int = 0
    groups: int = 0

    @property
    def lost(self) -> int:
        """Events that were refused, failed or dropped, or whose outcome is unknown."""
        return self.refused + self.failed + self.unknown + self.dropped
