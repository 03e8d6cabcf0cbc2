"""Source files in passages of lines, for any language."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

PASSAGE_LINES: Final = 40
"""Most lines of a passage."""

SHORTEST_LINES: Final = 12
"""Fewest lines before a cut."""

TAB: Final = 4
"""Columns of a tab, for indentation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """Lines of a file, from `first` to `last`, counted from 1."""

    path: str
    first: int
    last: int
    text: str

    @property
    def id(self) -> str:
        """The id of the document: the path and the lines."""
        return f"{self.path}:{self.first}-{self.last}"


def passages(path: str, text: str) -> Iterator[Passage]:
    """Yield the passages of a file in order. Blank passages are left out.

    A passage ends before a definition where possible: after a blank line, at the least indentation,
    as late as it may.
    """
    lines = text.split("\n")
    start = 0
    while start < len(lines):
        end = _end(lines, start)
        content = "\n".join(lines[start:end]).strip("\n")
        if content.strip():
            yield Passage(path=path, first=start + 1, last=end, text=content)
        start = end


def _end(lines: Sequence[str], start: int) -> int:
    if len(lines) - start <= PASSAGE_LINES:
        return len(lines)
    cuts = range(start + SHORTEST_LINES, start + PASSAGE_LINES + 1)
    return min(cuts, key=lambda cut: (_cost(lines, cut), -cut))


def _cost(lines: Sequence[str], cut: int) -> int:
    """Return how deep a cut before this line is inside a definition; lines of code cost most."""
    line = lines[cut].expandtabs(TAB)
    if not line.strip():
        return 1_000
    indentation = len(line) - len(line.lstrip())
    return indentation if not lines[cut - 1].strip() else 500 + indentation
