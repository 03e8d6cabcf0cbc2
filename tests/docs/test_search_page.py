"""The page on search shows what was measured.

Its tables and its plot are made of the figures beside it.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from bench import page, quality
from bench.measuring import Figure
from bench.plot import svg
from bench.populations import LARGEST, SMALLEST, Corpus, populations, tenant_sizes
from bench.search_targets import searches_judged
from bench.targets import Verdict
from bench.tenant_latency import Comparison
from bench.tenant_recall import TenantFigures
from bench.tenants import FULL, Results, misses


@pytest.fixture(scope="module")
def figures() -> tuple[page.Figures, quality.Reports]:
    search = json.loads(page.SEARCH.read_text(encoding="utf-8"))
    return search, quality.read_reports(page.QUALITY)


def test_the_page_and_its_plot_are_made_of_the_figures(
    figures: tuple[page.Figures, quality.Reports],
) -> None:
    search, reports = figures
    written = page.PAGE.read_text(encoding="utf-8")
    assert page.filled(written, search, reports) == written
    assert quality.picture(reports) == page.QUALITY_PICTURE.read_text(encoding="utf-8")
    assert written.count("<!-- measured: ") == written.count("<!-- end -->") == 10


def test_the_page_on_tenants_and_its_plot_are_made_of_the_figures() -> None:
    tenants = json.loads(page.TENANTS.read_text(encoding="utf-8"))
    older = json.loads(page.OLDER_TENANTS.read_text(encoding="utf-8"))
    written = page.TENANTS_PAGE.read_text(encoding="utf-8")
    assert page.tenants_filled(written, tenants, older) == written
    assert page.picture(tenants) == page.PICTURE.read_text(encoding="utf-8")
    assert written.count("<!-- measured: ") == written.count("<!-- end -->") == 6


def test_a_figure_that_changes_changes_the_page(
    figures: tuple[page.Figures, quality.Reports],
) -> None:
    search, reports = figures
    written = page.PAGE.read_text(encoding="utf-8")
    report = reports["cisi"]
    hybrid = {**report["searches"]["hybrid"], "ndcg_at_10": 0.987}
    better = {**report, "searches": {**report["searches"], "hybrid": hybrid}}
    assert "| 0.987 |" in page.filled(written, search, {**reports, "cisi": better})


def test_hybrid_search_stays_near_its_better_arm_on_every_collection(
    figures: tuple[page.Figures, quality.Reports],
) -> None:
    _, reports = figures
    assert len(reports) >= 2
    for name, report in reports.items():
        arms = {kind: report["searches"][kind]["ndcg_at_10"] for kind in quality.KINDS}
        assert arms["hybrid"] >= max(arms["keyword"], arms["vector"]) - 0.01, name


def test_a_plot_shows_every_point_and_keeps_inside_its_frame() -> None:
    points: list[dict[str, Any]] = [
        {"way": "a < b", "ef_search": 20, "recall": 0.81, "p50": 0.7},
        {"way": "a < b", "ef_search": 640, "recall": 1.0, "p50": 33.0},
        {"way": "all", "ef_search": None, "recall": 1.0, "p50": 400.0},
    ]
    drawn = ElementTree.fromstring(svg(points, title="A & B"))
    circles = [node for node in drawn.iter() if node.tag.endswith("circle")]
    assert len(circles) == len(points) + 2  # and one for each way in the legend
    _, _, width, height = (float(number) for number in drawn.attrib["viewBox"].split())
    for circle in circles:
        assert 0 < float(circle.attrib["cx"]) < width
        assert 0 < float(circle.attrib["cy"]) < height
    assert "a < b" in "".join(drawn.itertext())


def _searched(**changes: Any) -> dict[str, Any]:
    """The figures of a run that reaches everything, but for these of the large table."""
    words = {"question": "a word", "rows": 50_000, "p50": 3.0, "p99": 9.0, "plain_p50": 2.5}
    near = {"fewest_rows": 10, "p50": 4.0}
    arms = {"vector arm": 2.0, "keyword arm": 5.0, "hybrid": 7.0}
    plan = {"same_plan": True, "generic_plans": 0}
    time = changes.pop("arm", {})
    return {
        "words": [{**words, "rows": 5_000, "p50": 2.0}, _changed(words, changes)],
        "nearest": [
            _changed({"case": case, **near}, changes) for case in ("no filter", "1 %", "0.1 %")
        ],
        "arms_small": [
            {"search": name, "rows": 5_000, "round_trips": 1, "server_p50": 1.5} for name in arms
        ],
        "arms": [
            {
                "search": name,
                "rows": 50_000,
                "round_trips": changes.get("round_trips", 1),
                "server_p50": time.get(name, milliseconds),
            }
            for name, milliseconds in arms.items()
        ],
        "plans": [_changed(plan, changes)],
    }


def _changed(figures: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    return {name: changes.get(name, value) for name, value in figures.items()}


def _missed(search: dict[str, Any]) -> set[str]:
    return {verdict.work for verdict in searches_judged(search) if not verdict.met}


def test_a_run_that_reaches_everything_misses_nothing() -> None:
    results: list[Verdict] = list(searches_judged(_searched()))
    assert results
    assert all(verdict.met for verdict in results)


@pytest.mark.parametrize(
    ("changes", "missed"),
    [
        ({"plain_p50": 1.9}, {"p50, a word"}),
        ({"p99": 30.0}, {"p99, a word"}),
        ({"fewest_rows": 9}, {"rows, 0.1 %"}),
        ({"arm": {"vector arm": 3.1}}, {"vector arm, 5,000 to 50,000 rows"}),
        ({"arm": {"keyword arm": 15.5}}, {"keyword arm, 5,000 to 50,000 rows"}),
        ({"arm": {"hybrid": 8.8}}, {"the server's time"}),
        ({"arm": {"hybrid": 15.1}}, {"hybrid, 5,000 to 50,000 rows", "the server's time"}),
        ({"round_trips": 2}, {"hybrid search"}),
        ({"same_plan": False}, {"after ten executions"}),
        ({"generic_plans": 1}, {"after ten executions"}),
    ],
)
def test_a_search_under_its_bar_is_reported(changes: dict[str, Any], missed: set[str]) -> None:
    assert _missed(_searched(**changes)) == missed


@pytest.mark.parametrize(
    ("case", "milliseconds"), [("no filter", 60.0), ("1 %", 5.0), ("0.1 %", 5.0)]
)
def test_a_vector_search_that_takes_too_long_is_reported(case: str, milliseconds: float) -> None:
    search = _searched()
    [slow] = [figures for figures in search["nearest"] if figures["case"] == case]
    slow["p50"] = milliseconds
    assert _missed(search) == {f"p50, {case}"}


def test_a_keyword_search_that_takes_longer_in_proportion_is_reported() -> None:
    search = _searched(p50=20.0, p99=30.0, plain_p50=20.0)
    search["nearest"] = _searched()["nearest"]
    assert _missed(search) == {"keyword search, a word, 5,000 to 50,000 rows"}


def test_a_tenant_that_misses_a_target_is_named() -> None:
    figures = TenantFigures(
        population="many", tenant="acme", rows=1_000, dimensions=256, queries="in distribution",
        recall=0.95, lowest_recall=0.6, below_half=0.01, fewest_rows=10, exact=1.0,
        p50=2.0, alone_p50=2.0, exact_p50=2.0,
    )  # fmt: skip
    pair = Comparison(
        reference="alone", population="many", tenant="acme", rows=1_000, search="keyword",
        p50=3.0, p95=4.0, reference_p50=2.0, reference_p95=3.0, ratio=1.5,
    )  # fmt: skip

    def missed(*tenants: TenantFigures, latency: tuple[Comparison, ...] = ()) -> list[str]:
        results = Results(size=FULL, passages=1, tenants=list(tenants), latency=list(latency))
        return list(misses(results))

    assert missed(figures, latency=(pair,)) == []
    assert "recall 0.949" in missed(replace(figures, recall=0.949))[0]
    assert "1.1% of the queries" in missed(replace(figures, below_half=0.011))[0]
    assert "9 rows" in missed(replace(figures, fewest_rows=9))[0]
    assert "1.55 x alone" in missed(latency=(replace(pair, ratio=1.55),))[0]
    fewer = replace(pair, reference="a tenth of the tenants", ratio=1.25)
    assert "1.25 x a tenth of the tenants" in missed(latency=(fewer,))[0]
    protected = replace(pair, reference="no row-level security", ratio=2.0)
    assert missed(latency=(protected,)) == [], "keyword search behind a policy has no target"
    assert len(missed(latency=(replace(protected, search="vector"),))) == 1
    write = Figure(work="write", way="knowledge.add_many", seconds=1.2, ratio=1.23)
    for ratio, count in ((1.23, 0), (1.25, 1)):
        judged = Results(size=FULL, passages=1, writes=[replace(write, ratio=ratio)])
        assert len(list(misses(judged))) == count


def test_tenants_of_many_have_50_to_2000_rows_that_add_up() -> None:
    sizes = tenant_sizes(2_000, 200_000)
    assert (len(sizes), sum(sizes)) == (2_000, 200_000)
    assert (sizes[0], sizes[-1]) == (SMALLEST, LARGEST)
    assert sum(tenant_sizes(30, 3_000)) == 3_000


def test_a_passage_is_in_up_to_four_tenants_and_never_twice_in_one() -> None:
    texts = [f"{number}" for number in range(800)]
    corpus = Corpus(texts, np.zeros((800, 2), np.float32), ["package"] * 800, {}, {})
    *_, many = populations(corpus, tenants=30, rows=3_000)
    assert len(set(many.rows)) == len(many.rows) == 3_000
    copies = np.bincount([passage for _, passage in many.rows])
    assert copies.max() == 4
