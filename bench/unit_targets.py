"""Targets of small units of work next to a plain SQLModel session, measured in the same run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from bench.targets import Verdict
from bench.unit_figures import UnitFigure
from bench.unit_ways import CHANGE_SAME, LIBRARY, PLAIN

CLAIM: Final = "Small units of work"
SIZE_FROM: Final = 1_000
"""The ratios apply from so many runs of each way; fewer differ by chance."""


@dataclass(frozen=True, slots=True)
class UnitTarget:
    """A limit on the ratio of a figure to that of a plain session."""

    name: str
    figure: Callable[[UnitFigure], float]
    at_least: float | None = None
    at_most: float | None = None

    @property
    def words(self) -> str:
        """The limit in words."""
        limit = (
            f"at least {self.at_least:.1f} ×"
            if self.at_least is not None
            else f"at most {self.at_most:.1f} ×"
        )
        return f"{self.name} {limit} that of {PLAIN}"

    def is_met(self, ratio: float) -> bool:
        """Return whether a ratio is within the limit."""
        if self.at_least is not None:
            return ratio >= self.at_least
        return self.at_most is not None and ratio <= self.at_most


TARGETS: Final = (
    UnitTarget("throughput", lambda one: one.per_second, at_least=1.0),
    UnitTarget("CPU", lambda one: one.cpu_us, at_most=1.1),
    UnitTarget("p99", lambda one: one.p99_ms, at_most=1.2),
)


def unit_verdicts(figures: Sequence[UnitFigure]) -> Iterator[Verdict]:
    """Yield a verdict for each unit and target, and one for the connections.

    A unit meets a target if it does with every number of tasks. The p99 of changes of the same
    review has no target: it is the time for which the unluckiest task waits for the lock of a row.
    """
    for unit in dict.fromkeys(one.unit for one in figures):
        pairs = _pairs([one for one in figures if one.unit == unit])
        if min(min(ours.runs, plain.runs) for ours, plain in pairs.values()) >= SIZE_FROM:
            for target in TARGETS:
                if unit == CHANGE_SAME and target.name == "p99":
                    continue
                yield _verdict(unit, target, pairs)
    opened = sum(one.opened for one in figures if one.way == LIBRARY)
    yield Verdict(
        claim=CLAIM,
        work="all of them",
        target="no connection is opened in steady state",
        measured=f"{opened}",
        met=opened == 0,
    )


def _pairs(figures: Sequence[UnitFigure]) -> Mapping[int, tuple[UnitFigure, UnitFigure]]:
    by_way = {(one.tasks, one.way): one for one in figures}
    tasks = dict.fromkeys(one.tasks for one in figures)
    return {number: (by_way[number, LIBRARY], by_way[number, PLAIN]) for number in tasks}


def _verdict(
    unit: str, target: UnitTarget, pairs: Mapping[int, tuple[UnitFigure, UnitFigure]]
) -> Verdict:
    ratios = {
        tasks: target.figure(ours) / target.figure(plain) for tasks, (ours, plain) in pairs.items()
    }
    return Verdict(
        claim=CLAIM,
        work=f"{unit}, from {', '.join(map(str, ratios))} tasks",
        target=target.words,
        measured=", ".join(f"{ratio:.2f} ×" for ratio in ratios.values()),
        met=all(map(target.is_met, ratios.values())),
    )
