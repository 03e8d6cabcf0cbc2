"""Recall against latency as a picture: a small SVG written by hand."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any
from xml.sax.saxutils import escape

WIDTH, HEIGHT = 720, 420
LEFT, RIGHT, TOP, BOTTOM = 70, 30, 50, 60
COLOURS = ("#1f5fa8", "#c2510c", "#2e7d32")


@dataclass(frozen=True)
class Axes:
    """The axes: milliseconds from left to right on a logarithmic scale, recall upwards."""

    fastest: float
    slowest: float
    lowest: float

    @classmethod
    def around(cls, points: Sequence[Mapping[str, Any]]) -> Axes:
        times = [point["p50"] for point in points]
        lowest = min(0.95, *(point["recall"] for point in points))
        return cls(
            2 ** math.floor(math.log2(min(times))),
            2 ** math.ceil(math.log2(max(times))),
            math.floor(lowest * 50) / 50,
        )

    def x(self, milliseconds: float) -> float:
        share = math.log(milliseconds / self.fastest) / math.log(self.slowest / self.fastest)
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    def y(self, recall: float) -> float:
        return TOP + (1 - recall) / (1 - self.lowest) * (HEIGHT - TOP - BOTTOM)

    def times(self) -> list[float]:
        doublings = round(math.log2(self.slowest / self.fastest))
        return [self.fastest * 2**step for step in range(doublings + 1)]

    def recalls(self) -> list[float]:
        return [round(1 - step / 100, 2) for step in range(round((1 - self.lowest) * 100) + 1)]


def svg(points: Sequence[Mapping[str, Any]], *, title: str) -> str:
    """Return the picture of points with `way`, `ef_search`, `recall` and `p50`.

    Those of one way are a line.
    """
    axes = Axes.around(points)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}"'
        ' font-family="sans-serif" font-size="12">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        _text(WIDTH / 2, 24, title, size=14),
        *_grid(axes),
    ]
    for place, (way, of_way) in enumerate(groupby(points, key=lambda point: str(point["way"]))):
        parts += _line(axes, list(of_way), COLOURS[place % len(COLOURS)])
        y = HEIGHT - BOTTOM - 20 * (place + 1)
        parts.append(
            f'<circle cx="{WIDTH - 190}" cy="{y - 4}" r="4"'
            f' fill="{COLOURS[place % len(COLOURS)]}"/>'
        )
        parts.append(_text(WIDTH - 180, y, way, anchor="start"))
    return "\n".join([*parts, "</svg>", ""])


def _grid(axes: Axes) -> Iterator[str]:
    for time in axes.times():
        x = axes.x(time)
        yield f'<line x1="{x:.1f}" y1="{TOP}" x2="{x:.1f}" y2="{HEIGHT - BOTTOM}" stroke="#ddd"/>'
        yield _text(x, HEIGHT - BOTTOM + 18, f"{time:g}")
    for recall in axes.recalls():
        y = axes.y(recall)
        yield f'<line x1="{LEFT}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}" stroke="#ddd"/>'
        yield _text(LEFT - 8, y + 4, f"{recall:.2f}", anchor="end")
    yield _text(
        WIDTH / 2, HEIGHT - 16, "milliseconds of one search, median; farther left is faster"
    )
    yield _text(LEFT - 8, TOP - 12, "recall@10", anchor="end")


def _line(axes: Axes, points: Sequence[Mapping[str, Any]], colour: str) -> Iterator[str]:
    places = [(axes.x(point["p50"]), axes.y(point["recall"])) for point in points]
    joined = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    yield f'<polyline points="{joined}" fill="none" stroke="{colour}" stroke-width="2"/>'
    for (x, y), point in zip(places, points, strict=True):
        yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{colour}"/>'
        if point["ef_search"] is not None:
            yield _text(x, y + 17, f"{point['ef_search']}", size=10, colour=colour)


def _text(
    x: float, y: float, words: str, *, anchor: str = "middle", size: int = 12, colour: str = "#222"
) -> str:
    style = f'text-anchor="{anchor}" font-size="{size}" fill="{colour}"'
    return f'<text x="{x:.1f}" y="{y:.1f}" {style}>{escape(words)}</text>'
