"""Months of UTC, by which telemetry is partitioned."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final


@dataclass(frozen=True, slots=True, order=True)
class Month:
    """A month of UTC; `str` writes it as `2026-11`."""

    year: int
    number: int

    @classmethod
    def of(cls, moment: datetime) -> Month:
        """Return the month of a moment that has a time zone."""
        moment = moment.astimezone(UTC)
        return cls(moment.year, moment.month)

    def plus(self, months: int) -> Month:
        """Return the month that comes this number of months later."""
        year, number = divmod(self.year * 12 + self.number - 1 + months, 12)
        return Month(year, number + 1)

    @property
    def begins(self) -> datetime:
        """Its first moment."""
        return datetime(self.year, self.number, 1, tzinfo=UTC)

    @property
    def ends(self) -> datetime:
        """The first moment after it. Python has none for a month after `LAST`."""
        return self.plus(1).begins

    def __str__(self) -> str:
        return f"{self.year:04}-{self.number:02}"


LAST: Final = Month(9999, 11)
"""The last month that can be a partition of its own."""
