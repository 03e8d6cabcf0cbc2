"""What became of the events that a recorder was given."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class RecorderFigures:
    """Counts since the recorder was entered: `recorded` is the sum of `written`, `refused`,
    `failed`, `unknown` and `queued`.

    `recorded` were taken; `dropped` were not, because the queue was full. `refused` are those that
    can never be stored, `failed` those that the database did not take until `retry_for` had passed,
    `unknown` those whose commit's outcome was lost and could not be asked for until then. `queued`
    are in memory now; `groups` counts transactions that were committed.
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
        """Events that were given and are not known to be kept."""
        return self.refused + self.failed + self.unknown + self.dropped
