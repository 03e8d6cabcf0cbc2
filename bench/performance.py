"""Write the tables and pictures of docs/explanation/performance.md from the measured figures."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

from bench import blocks, chart
from bench.judging import MEASURED, PERFORMANCE, judged, rows
from bench.machine import Machine
from bench.measuring import Figure
from bench.search_targets import searches_judged

PAGE: Final = MEASURED.parent / "performance.md"
PICTURES: Final = {
    "writing.svg": ("Writes", ("write ", "upsert ", "load ", "record ", "single events")),
    "reading.svg": ("Reads", ("one chunk", "a hundred", "ten nearest")),
}
OURS: Final = ("knowledge.", "telemetry.", "Database.", "recorder", "a reader opened")


def filled(page: str, measured: Mapping[str, Any], search: Mapping[str, Any]) -> str:
    """Return the page with new tables."""
    figures = _figures(measured)
    return blocks.filled(
        page,
        {
            "machine": Machine(**measured["machine"]).described(),
            "bars": rows([*judged(measured), *searches_judged(search)]),
            "times": _times(figures),
        },
    )


def picture(measured: Mapping[str, Any], name: str) -> str:
    """Return one of `PICTURES`."""
    title, works = PICTURES[name]
    shown = [figure for figure in _figures(measured) if any(work in figure.work for work in works)]
    return chart.svg(shown, title=title, ours=OURS)


def write(search: Mapping[str, Any]) -> None:
    """Write the page and its pictures."""
    measured = json.loads(PERFORMANCE.read_text(encoding="utf-8"))
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8"), measured, search), encoding="utf-8")
    for name in PICTURES:
        (PAGE.parent / name).write_text(picture(measured, name), encoding="utf-8")


def _figures(measured: Mapping[str, Any]) -> list[Figure]:
    return [Figure(**figure) for figure in measured["figures"]]


def _times(figures: Iterable[Figure]) -> str:
    shown, work = [], ""
    for figure in figures:
        shown.append(
            (
                "" if figure.work == work else figure.work,
                figure.way,
                _time(figure.seconds),
                f"{figure.ratio:.2f}",
            )
        )
        work = figure.work
    return blocks.table(("work", "way", "time", "× the first"), shown, words=2)


def _time(seconds: float) -> str:
    return f"{seconds:,.2f} s" if seconds >= 1 else f"{seconds * 1e3:,.2f} ms"
