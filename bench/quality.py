"""The quality of search on every collection, as tables and as a picture.

It reads docs/explanation/measured/quality/*.json, which `recollect eval DIR --json > FILE` writes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final
from xml.sax.saxutils import escape

from bench import blocks

KINDS: Final = ("keyword", "vector", "vector, exact", "hybrid")
COLOURS: Final = ("#1f5fa8", "#9e9e9e", "#c2510c")
DRAWN: Final = ("keyword", "vector", "hybrid")
LEFT, TOP, BAR, WIDTH = 110, 50, 10, 720
SCALE: Final = 1_000
"""Pixels of an nDCG@10 of 1; no collection is above 0.5."""

Reports = Mapping[str, Mapping[str, Any]]
"""Reports of `recollect eval` by the name of the collection."""


def read_reports(folder: Path) -> Reports:
    """Return the reports of the folder, in the order of their names."""
    return {
        file.stem: json.loads(file.read_text(encoding="utf-8"))
        for file in sorted(folder.glob("*.json"))
    }


def ranking_table(reports: Reports) -> str:
    """Return nDCG@10 of each search, and how far hybrid search is from its better arm."""
    headings = ("collection", "documents", "queries", *KINDS, "hybrid − better arm")
    return blocks.table(headings, [_ranking_row(*item) for item in reports.items()])


def measures_table(reports: Reports) -> str:
    """Return the other measures of keyword, vector and hybrid search."""
    names = ("recall_at_10", "recall_at_100", "hit_at_1", "hit_at_10", "mrr")
    headings = ("collection", "search", "recall@10", "recall@100", "hit@1", "hit@10", "MRR")
    rows = [
        (collection, kind, *(f"{report['searches'][kind][name]:.3f}" for name in names))
        for collection, report in reports.items()
        for kind in DRAWN
    ]
    return blocks.table(headings, rows, words=2)


def picture(reports: Reports) -> str:
    """Return the picture: a bar for each search of each collection."""
    height = TOP + len(reports) * (len(DRAWN) * BAR + 14) + 10
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}"'
        ' font-family="sans-serif" font-size="12">',
        "<title>nDCG@10 of keyword, vector and hybrid search on each collection</title>",
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
        *_legend(),
    ]
    for number, (collection, report) in enumerate(reports.items()):
        parts += _bars(TOP + number * (len(DRAWN) * BAR + 14), collection, report)
    return "\n".join([*parts, "</svg>\n"])


def _ranking_row(collection: str, report: Mapping[str, Any]) -> tuple[str, ...]:
    quality = {kind: report["searches"][kind]["ndcg_at_10"] for kind in KINDS}
    better = max(quality["keyword"], quality["vector"])
    return (
        collection,
        f"{report['documents']:,}",
        f"{report['queries_with_relevant_documents']:,}",
        *(f"{value:.3f}" for value in quality.values()),
        f"{quality['hybrid'] - better:+.3f}",
    )


def _legend() -> Iterator[str]:
    yield f'<text x="{LEFT}" y="20">nDCG@10</text>'
    for number, (kind, colour) in enumerate(zip(DRAWN, COLOURS, strict=True)):
        x = LEFT + 90 + number * 100
        yield f'<rect x="{x}" y="11" width="10" height="10" fill="{colour}"/>'
        yield f'<text x="{x + 16}" y="20">{kind}</text>'


def _bars(top: int, collection: str, report: Mapping[str, Any]) -> Iterator[str]:
    yield f'<text x="{LEFT - 8}" y="{top + 19}" text-anchor="end">{escape(collection)}</text>'
    for row, (kind, colour) in enumerate(zip(DRAWN, COLOURS, strict=True)):
        quality, y = report["searches"][kind]["ndcg_at_10"], top + row * BAR
        size = f'width="{quality * SCALE:.1f}" height="{BAR - 1}"'
        yield f'<rect x="{LEFT}" y="{y}" {size} fill="{colour}"/>'
        x = LEFT + quality * SCALE + 5
        yield f'<text x="{x:.1f}" y="{y + 9}" font-size="10">{quality:.3f}</text>'
