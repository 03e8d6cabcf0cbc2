"""Times as a picture: a group of horizontal bars for each work, in a small SVG written by hand."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from operator import attrgetter
from xml.sax.saxutils import escape

from bench.measuring import Figure

WIDTH, LABELS, LINE, GAP = 860, 330, 22, 26
OURS, THEIRS = "#1f5fa8", "#b8b8b8"


def svg(figures: Iterable[Figure], *, title: str, ours: Sequence[str]) -> str:
    """Return bars whose lengths are times, each group on a scale of its own.

    Ways that begin like one of `ours` are coloured.
    """
    parts, y = [_text(10, 24, title, size=15)], 44
    for work, group in groupby(figures, key=attrgetter("work")):
        ways = list(group)
        parts.append(_text(10, y + 14, work, size=13))
        y += LINE + 2
        longest = max(figure.seconds for figure in ways)
        for figure in ways:
            parts += _bar(
                figure, y, figure.seconds / longest, own=figure.way.startswith(tuple(ours))
            )
            y += LINE
        y += GAP - LINE // 2
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y}"'
        ' font-family="sans-serif" font-size="12">'
    )
    return "\n".join(
        [
            head,
            f"<title>{escape(title)}</title>",
            f'<rect width="{WIDTH}" height="{y}" fill="white"/>',
            *parts,
            "</svg>\n",
        ]
    )


def _bar(figure: Figure, y: float, share: float, *, own: bool) -> Iterator[str]:
    width = max(1.0, share * (WIDTH - LABELS - 150))
    colour = OURS if own else THEIRS
    yield _text(LABELS - 8, y + 13, figure.way, anchor="end")
    size = f'width="{width:.1f}" height="{LINE - 6}"'
    yield f'<rect x="{LABELS}" y="{y + 2}" {size} fill="{colour}"/>'
    yield _text(LABELS + width + 6, y + 13, f"{_time(figure.seconds)} (× {figure.ratio:.2f})")


def _time(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1e3:.2f} ms"


def _text(x: float, y: float, words: str, *, size: int = 12, anchor: str = "start") -> str:
    style = f'font-size="{size}" text-anchor="{anchor}"'
    return f'<text x="{x:.0f}" y="{y:.0f}" {style}>{escape(words)}</text>'
