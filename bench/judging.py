"""Judge what was measured.

`python -m bench.judging` prints every bar, and ends with 1 if one was missed.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench import blocks
from bench.measuring import Figure
from bench.memory import GROWN
from bench.search_targets import searches_judged
from bench.targets import Verdict, verdicts
from bench.unit_figures import UnitFigure
from bench.unit_targets import unit_verdicts

MEASURED = Path(__file__).parents[1] / "docs" / "explanation" / "measured"
PERFORMANCE, SEARCH = MEASURED / "performance.json", MEASURED / "search.json"
UNITS = MEASURED / "units.json"


def judged(performance: Mapping[str, Any]) -> Iterator[Verdict]:
    """Judge one run of `python -m bench`."""
    yield from verdicts([Figure(**figure) for figure in performance["figures"]])
    yield _memory(*performance["memory"])


def units_judged(units: Mapping[str, Any]) -> Iterator[Verdict]:
    """Judge one run of `python -m bench.units`."""
    return unit_verdicts([UnitFigure(**figure) for figure in units["figures"]])


def _memory(few: Mapping[str, Any], many: Mapping[str, Any]) -> Verdict:
    grown = many["megabytes"] / max(1.0, few["megabytes"])
    return Verdict(
        claim="Memory of a bulk write",
        work=f"write {few['rows']:,} and {many['rows']:,} chunks from a generator",
        target=f"bounded: less than twice as much for {GROWN} times the rows",
        measured=f"{few['megabytes']:.0f} and {many['megabytes']:.0f} MB",
        met=grown < 2,
    )


def rows(outcomes: Iterable[Verdict]) -> str:
    """Return the verdicts as a table of a page."""
    shown = [
        (one.claim, one.work, one.target, one.measured, "yes" if one.met else "**no**")
        for one in outcomes
    ]
    return blocks.table(("claim", "work", "target", "measured", "met"), shown, words=3)


def table(outcomes: Sequence[Verdict]) -> Table:
    """Return the verdicts as a table for a terminal."""
    shown = Table("", "claim", "work", "target", "measured")
    for verdict in outcomes:
        shown.add_row(
            "ok" if verdict.met else "MISSED",
            verdict.claim,
            verdict.work,
            verdict.target,
            verdict.measured,
        )
    return shown


def main() -> int:
    performance, search, units = (
        json.loads(file.read_text(encoding="utf-8")) for file in (PERFORMANCE, SEARCH, UNITS)
    )
    outcomes = [*judged(performance), *units_judged(units), *searches_judged(search)]
    Console().print(table(outcomes))
    return 0 if all(verdict.met for verdict in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
