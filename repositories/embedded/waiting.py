"""A moment until which something is waited for."""

from __future__ import annotations

import time
from datetime import timedelta

POLL_SECONDS = 0.02


class Deadline:
    """A moment on the monotonic clock; it never moves, however often it is waited for."""

    def __init__(self, within: timedelta) -> None:
        self.seconds = within.total_seconds()
        self._at = time.monotonic() + self.seconds

    @property
    def passed(self) -> bool:
        """Whether the moment is over."""
        return time.monotonic() >= self._at

    @property
    def remaining(self) -> float:
        """Seconds that are left, at least a tenth of one so that the last attempt is a real one."""
        return max(0.1, self._at - time.monotonic())

    def half(self) -> Deadline:
        """A deadline half as far away."""
        return Deadline(timedelta(seconds=self.remaining / 2))

    def pause(self) -> None:
        """Sleep for one poll interval."""
        time.sleep(POLL_SECONDS)
