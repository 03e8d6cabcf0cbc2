"""Bounds on processor time that hold on a machine of any speed."""

from __future__ import annotations

from statistics import median
from time import thread_time
from typing import Final

_USUAL: Final = 0.0028
"""Most seconds of `_count` on the machine of the documentation, while no other machine uses it."""


def at_usual_speed(seconds: float) -> float:
    """Return what a call that just took so long here takes on the machine of the documentation.

    On a faster machine, it returns the time itself. Processors that are shared with other machines
    take up to twice as long for some minutes.
    """
    return seconds / max(1.0, median(_count() for _ in range(3)) / _USUAL)


def _count() -> float:
    began = thread_time()
    for _ in range(100_000):
        pass
    return thread_time() - began
