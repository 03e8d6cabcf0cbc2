"""The benchmark of growth measures every operation, and finds one that grows too much."""

from __future__ import annotations

from typing import Any

import pytest

from bench.growth import page
from bench.growth.entries import entries
from bench.growth.measure import Growth, operations_without_entry
from bench.growth.mixed import Load, failures, slowdown


def test_every_operation_of_every_port_has_an_entry() -> None:
    chosen = entries()
    assert operations_without_entry(chosen) == [], (
        "add entries to bench/growth/entries.py, and for a new entity its line in MAKERS of"
        " bench/growth/generic_entries.py"
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


def test_the_slowest_minute_is_compared_with_the_first_and_with_the_machine() -> None:
    assert slowdown([100, 140, 110], [2.0, 2.0, 2.0]) == pytest.approx(1.4)
    assert slowdown([100, 140, 110], [2.0, 2.8, 2.0]) == pytest.approx(1.1)


@pytest.mark.parametrize(
    ("last_minute", "sentence"),
    [
        ([10.0] * 20, None),
        ([14.0] * 20, "recall slows down to 1.40 × of the first minute"),
        ([10.0] * 18 + [50.0] * 2, "recall has spikes: 10 → 50 ms"),
    ],
)
def test_a_load_that_slows_down_or_has_spikes_is_found(
    last_minute: list[float], sentence: str | None
) -> None:
    load = Load()
    load.latencies["recall"] |= {0: [10.0] * 20, 1: [10.0] * 20, 2: last_minute}
    load.control |= {0: [2.0], 1: [2.0], 2: [2.0]}
    assert failures(load) == ([] if sentence is None else [sentence])


def test_the_tables_of_the_page_are_made_of_the_measured_figures() -> None:
    written, figures = page.PAGE.read_text(encoding="utf-8"), page.measured()
    assert page.page(written, figures) == written
    for name in figures:
        machine = {**figures[name]["machine"], "day": "2001-01-01"}
        changed = {**figures, name: {**figures[name], "machine": machine}}
        assert page.page(written, changed) != written, name
