"""The benchmark of growth measures every operation, and finds one that grows too much."""

from __future__ import annotations

from typing import Any

from bench.growth import page
from bench.growth.entries import entries
from bench.growth.measure import Growth, operations_without_entry


def test_every_operation_of_every_port_has_an_entry() -> None:
    chosen = entries()
    assert operations_without_entry(chosen) == [], (
        "add entries, and for a new entity its line in _MAKERS, to bench/growth/entries.py"
    )
    assert operations_without_entry([one for one in chosen if one.operation != "runs.claim"]) == [
        "runs.claim"
    ]


def test_an_operation_that_grows_more_than_twofold_is_found() -> None:
    facts: dict[str, Any] = {"operation": "reviews.list", "case": "", "rows": 1}
    assert Growth(milliseconds=[2.0, 3.9], grows=None, **facts).is_met
    assert not Growth(milliseconds=[2.0, 4.2], grows=None, **facts).is_met
    assert Growth(milliseconds=[0.2, 0.9], grows=None, **facts).is_met, "less than the noise"
    assert Growth(milliseconds=[2.0, 40.0], grows="adds up rows", **facts).is_met


def test_the_tables_of_the_page_are_made_of_the_measured_figures() -> None:
    written, figures = page.PAGE.read_text(encoding="utf-8"), page.measured()
    assert page.page(written, figures) == written
    for name in figures:
        machine = {**figures[name]["machine"], "day": "2001-01-01"}
        changed = {**figures, name: {**figures[name], "machine": machine}}
        assert page.page(written, changed) != written, name
