"""Write Markdown: tables, and the text of a docstring."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Sequence

_INDENTED = re.compile(r"\n[ \t]+")
_NOT_AN_ITEM = re.compile(r"\n(?!- )")


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table. A bar in a cell is escaped."""
    lines = [headings, ["---"] * len(headings), *(map(_cell, row) for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def paragraphs(documented: object) -> list[str]:
    """Return the paragraphs of an object's docstring, each paragraph and list item on one line."""
    text = inspect.cleandoc(getattr(documented, "__doc__", None) or "")
    return [_NOT_AN_ITEM.sub(" ", _INDENTED.sub(" ", part)) for part in text.split("\n\n")]


def code(text: object) -> str:
    """Return the text as inline code."""
    return f"`{text}`"


def _cell(text: str) -> str:
    return text.replace("|", r"\|")
