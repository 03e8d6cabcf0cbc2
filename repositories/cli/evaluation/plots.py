"""The figures of an evaluation as a picture: SVG written by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from xml.sax.saxutils import escape

if TYPE_CHECKING:
    from collections.abc import Iterator

    from repositories.cli.evaluation.report import Report
    from repositories.cli.evaluation.tuning import Tuning

WIDTH: Final = 720
ROW: Final = 26
LEFT: Final = 130
BAR: Final = 480
HEIGHT: Final = 260
COLOURS: Final = ("#1f5fa8", "#c2510c")


def picture(report: Report) -> str:
    """Return the picture: nDCG@10 of each kind of search, and the curve of the tuned weight."""
    bars = list(_bars(report))
    top = 40 + len(report.searches) * ROW
    curve = list(_curve(report.tuning, top + 50)) if report.tuning else []
    height = top + (HEIGHT + 100 if curve else 20)
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}"'
            ' font-family="sans-serif" font-size="12">',
            f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
            *bars,
            *curve,
            "</svg>\n",
        ]
    )


def _bars(report: Report) -> Iterator[str]:
    yield _text(LEFT, 22, f"nDCG@10, {report.documents:,} documents, {report.queries:,} queries")
    for number, (kind, figures) in enumerate(report.searches.items()):
        y, quality = 36 + number * ROW, figures.ndcg_at_10 or 0.0
        yield _text(LEFT - 8, y + 14, kind.value, anchor="end")
        size = f'width="{quality * BAR:.1f}" height="{ROW - 8}"'
        yield f'<rect x="{LEFT}" y="{y}" {size} fill="{COLOURS[0]}"/>'
        yield _text(LEFT + quality * BAR + 6, y + 14, f"{quality:.3f}")


def _curve(tuning: Tuning, top: int) -> Iterator[str]:
    yield _text(LEFT, top - 12, "nDCG@10 of hybrid search by vector_weight")
    highest = max(0.01, *(max(halves.tuning, halves.held_out) for _, halves in tuning.curve))
    names = ("half that chose the settings", "other half")
    for series, (name, colour) in enumerate(zip(names, COLOURS, strict=True)):
        points = []
        for weight, halves in tuning.curve:
            quality = (halves.tuning, halves.held_out)[series]
            points.append(
                f"{LEFT + weight * BAR:.1f},{top + HEIGHT - quality / highest * HEIGHT:.1f}"
            )
        line = f'points="{" ".join(points)}" stroke="{colour}" stroke-width="2"'
        yield f'<polyline fill="none" {line}/>'
        yield _text(LEFT + series * 220, top + HEIGHT + 40, name, colour=colour)
    for weight, _ in tuning.curve:
        yield _text(LEFT + weight * BAR, top + HEIGHT + 18, f"{weight:g}", anchor="middle")
    yield _text(LEFT - 8, top + 4, f"{highest:.3f}", anchor="end")
    yield _text(LEFT - 8, top + HEIGHT, "0", anchor="end")


def _text(x: float, y: float, words: str, *, anchor: str = "start", colour: str = "black") -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}"'
    return f"<text {place}>{escape(words)}</text>"
