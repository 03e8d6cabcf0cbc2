"""The page on search shows what was measured: its tables and its plot are made of the figures beside it."""

from __future__ import annotations

import json
from typing import Any
from xml.etree import ElementTree

import pytest

from bench import page
from bench.plot import svg


@pytest.fixture(scope="module")
def figures() -> tuple[page.Figures, page.Figures]:
    search, quality = (json.loads(file.read_text(encoding="utf-8")) for file in (page.SEARCH, page.QUALITY))
    return search, quality


def test_the_page_and_its_plot_are_made_of_the_figures(figures: tuple[page.Figures, page.Figures]) -> None:
    search, quality = figures
    written = page.PAGE.read_text(encoding="utf-8")
    assert page.filled(written, search, quality) == written
    assert page.picture(search) == page.PICTURE.read_text(encoding="utf-8")
    assert written.count("<!-- measured: ") == written.count("<!-- end -->") == 8


def test_a_figure_that_changes_changes_the_page(figures: tuple[page.Figures, page.Figures]) -> None:
    search, quality = figures
    written = page.PAGE.read_text(encoding="utf-8")
    better = {**quality, "searches": {**quality["searches"], "hybrid": {**quality["searches"]["hybrid"], "ndcg_at_10": 0.987}}}
    assert "| hybrid | 0.987 |" in page.filled(written, search, better)


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
