"""docs/explanation/guarantees.md, written from the figures that the tests recorded."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.faults.promised import PROMISES

PAGE = Path(__file__).parents[2] / "docs" / "explanation" / "guarantees.md"
HEAD = """\
# What is guaranteed under faults?

`make faults` injects each fault into real PostgreSQL servers and writes this page from its \
measurements. The same tests run in a short form
in `make test`. A *control* is the same check with the guarantee broken on purpose; it must fail, \
which shows that the check can
fail.

| Guarantee | Last measurement | Control | Test |
| --- | --- | --- | --- |
"""
BAR = r"\|"


@dataclass(frozen=True)
class Figure:
    """The measurement of one test for a promise.

    `case` tells apart the runs of a test with parameters.
    """

    promise: str
    figure: str
    control: str | None
    test: str
    case: str | None


def figures_in(file: Path) -> list[Figure]:
    """Return what was recorded in `file`, which is not there where nothing was."""
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    return [Figure(**json.loads(line)) for line in lines]


def page(figures: list[Figure]) -> str:
    """Return the page, in the order of the promises and whatever the order of the run."""
    ordered = sorted(
        figures, key=lambda each: (PROMISES.index(each.promise), each.test, each.case or "")
    )
    return HEAD + "".join(_rows(ordered))


def _rows(figures: list[Figure]) -> Iterator[str]:
    for each in figures:
        figure = f"{each.figure} ({each.case})" if each.case else each.figure
        file, _, test = each.test.partition("::")
        where = f"[{test.replace('_', ' ').removeprefix('test ')}](../../{file})"
        cells = (each.promise, figure, each.control or "–", where)
        yield f"| {' | '.join(cell.replace('|', BAR) for cell in cells)} |\n"
