"""Write the tables and pictures of docs/explanation/performance.md from the measured figures."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

from bench import blocks, chart
from bench.judging import MEASURED, PERFORMANCE, UNITS, judged, rows, units_judged
from bench.machine import Machine
from bench.measuring import Figure
from bench.search_targets import searches_judged
from bench.unit_figures import UnitFigure
from bench.unit_ways import DRIVER, LIBRARY, PLAIN

PAGE: Final = MEASURED.parent / "performance.md"
PICTURES: Final = {
    "writing.svg": ("Writes", ("write ", "upsert ", "load ", "record ", "single events")),
    "reading.svg": ("Reads", ("one chunk", "a hundred", "ten nearest")),
}
OURS: Final = ("knowledge.", "telemetry.", "Database.", "recorder", "a reader opened")


def filled(
    page: str,
    measured: Mapping[str, Any],
    search: Mapping[str, Any],
    units: Mapping[str, Any],
) -> str:
    """Return the page with new tables."""
    figures = _figures(measured)
    return blocks.filled(
        page,
        {
            "machine": Machine(**measured["machine"]).described(),
            "bars": rows([*judged(measured), *units_judged(units), *searches_judged(search)]),
            "units": _units(units),
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
    units = json.loads(UNITS.read_text(encoding="utf-8"))
    page = filled(PAGE.read_text(encoding="utf-8"), measured, search, units)
    PAGE.write_text(page, encoding="utf-8")
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


def _units(units: Mapping[str, Any]) -> str:
    figures = [UnitFigure(**figure) for figure in units["figures"]]
    by_key = {(one.unit, one.tasks, one.way): one for one in figures}
    shown = []
    for unit, tasks in dict.fromkeys((one.unit, one.tasks) for one in figures):
        ours, plain, driver = (by_key[unit, tasks, way] for way in (LIBRARY, PLAIN, DRIVER))
        shown.append(
            (
                unit,
                f"{tasks}",
                *(f"{one.per_second:,.0f}" for one in (ours, plain, driver)),
                f"{ours.per_second / plain.per_second:.2f}",
                f"{ours.cpu_us / plain.cpu_us:.2f}",
                f"{ours.p99_ms / plain.p99_ms:.2f}",
                f"{ours.opened}",
            )
        )
    headings = (
        "unit of work",
        "tasks",
        "units/s",
        "plain session",
        "driver",
        "throughput ×",
        "CPU ×",
        "p99 ×",
        "connections opened",
    )
    return f"{Machine(**units['machine']).described()}\n\n{blocks.table(headings, shown)}"


def _time(seconds: float) -> str:
    return f"{seconds:,.2f} s" if seconds >= 1 else f"{seconds * 1e3:,.2f} ms"
