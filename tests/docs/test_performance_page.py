"""The page on performance shows what was measured.

Its tables and its pictures are made of the figures beside it.
"""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from bench import page, performance
from bench.judging import PERFORMANCE, UNITS, judged
from bench.measuring import Figure
from bench.targets import TARGETS, verdicts
from bench.unit_figures import UnitFigure
from bench.unit_targets import SIZE_FROM, unit_verdicts
from bench.unit_ways import ADD, LIBRARY, PLAIN


@pytest.fixture(scope="module")
def figures() -> tuple[page.Figures, page.Figures]:
    measured, search = (
        json.loads(file.read_text(encoding="utf-8")) for file in (PERFORMANCE, page.SEARCH)
    )
    return measured, search


def test_the_page_and_its_pictures_are_made_of_the_figures(
    figures: tuple[page.Figures, page.Figures],
) -> None:
    measured, search = figures
    written = performance.PAGE.read_text(encoding="utf-8")
    units = json.loads(UNITS.read_text(encoding="utf-8"))
    assert performance.filled(written, measured, search, units) == written
    assert written.count("<!-- measured: ") == written.count("<!-- end -->") == 4
    for name in performance.PICTURES:
        drawn = (performance.PAGE.parent / name).read_text(encoding="utf-8")
        assert performance.picture(measured, name) == drawn
        assert ElementTree.fromstring(drawn).tag.endswith("svg")
        assert f"]({Path(name).name})" in written


def test_every_target_was_measured(figures: tuple[page.Figures, page.Figures]) -> None:
    results = list(verdicts([Figure(**figure) for figure in figures[0]["figures"]]))
    assert {one.claim for one in results} == {target.claim for target in TARGETS}
    assert len(results) == len(TARGETS)


def _two(ours: float, theirs: float) -> list[Figure]:
    work = "a hundred chunks"
    ways = {"fetch by the driver": theirs, "knowledge.list in an open reader": ours}
    return [
        Figure(work=work, way=way, seconds=seconds, ratio=seconds / theirs)
        for way, seconds in ways.items()
    ]


@pytest.mark.parametrize(("ours", "met"), [(2.49, True), (2.51, False)])
def test_a_ratio_above_its_target_is_missed(ours: float, met: bool) -> None:
    [verdict] = verdicts(_two(ours, 1.0))
    assert verdict.met is met
    assert verdict.measured == f"{ours:.2f} ×"


@pytest.mark.parametrize(("size", "verdict_count"), [(9_999, 0), (10_000, 1)])
def test_a_target_applies_from_the_size_that_it_states(size: int, verdict_count: int) -> None:
    work = f"load {size:,} chunks and have them indexed"
    ways = {"Database.initial_load": 9.0, "knowledge.add_many, index in place": 10.0}
    figures = [
        Figure(work=work, way=way, seconds=seconds, ratio=1.0, size=size)
        for way, seconds in ways.items()
    ]
    assert [verdict.met for verdict in verdicts(figures)] == [False] * verdict_count


@pytest.mark.parametrize(("megabytes", "met"), [(30.0, True), (90.0, False)])
def test_memory_that_grows_with_the_rows_is_reported(megabytes: float, met: bool) -> None:
    memory = [{"rows": 1_000, "megabytes": 25.0}, {"rows": 4_000, "megabytes": megabytes}]
    [verdict] = judged({"figures": [], "memory": memory})
    assert verdict.met is met


def _units(*, way: str, per_second: float, opened: int = 0, runs: int = SIZE_FROM) -> UnitFigure:
    return UnitFigure(
        unit=ADD,
        way=way,
        tasks=16,
        per_second=per_second,
        cpu_us=1e6 / per_second,
        p99_ms=1e3 / per_second,
        opened=opened,
        runs=runs,
    )


@pytest.mark.parametrize(
    ("per_second", "opened", "runs", "met"),
    [
        (1_001, 0, SIZE_FROM, [True, True, True, True]),
        (990, 0, SIZE_FROM, [False, True, True, True]),
        (800, 0, SIZE_FROM, [False, False, False, True]),
        (1_001, 1, SIZE_FROM, [True, True, True, False]),
        (1, 1, SIZE_FROM - 1, [False]),
    ],
)
def test_small_units_of_work_are_judged_next_to_a_plain_session(
    per_second: float, opened: int, runs: int, met: list[bool]
) -> None:
    ours = _units(way=LIBRARY, per_second=per_second, opened=opened, runs=runs)
    plain = _units(way=PLAIN, per_second=1_000, opened=7)
    assert [verdict.met for verdict in unit_verdicts([ours, plain])] == met
