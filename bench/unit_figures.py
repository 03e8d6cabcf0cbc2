"""The figures of small units of work."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitFigure:
    """One way to do one unit of work from a number of tasks; medians of its blocks.

    Attributes:
        unit: the unit of work.
        way: the way.
        tasks: the number of tasks that run it at the same time.
        per_second: units per second.
        cpu_us: CPU time of the client per unit in microseconds.
        p99_ms: the time that 99 of 100 units take at most, in milliseconds.
        opened: the number of connections that were opened after the first block.
        runs: how often the unit ran in the measured blocks.
    """

    unit: str
    way: str
    tasks: int
    per_second: float
    cpu_us: float
    p99_ms: float
    opened: int
    runs: int
