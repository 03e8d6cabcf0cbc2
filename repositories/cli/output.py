"""Where words go: results to standard output, everything else to standard error."""

from __future__ import annotations

import sys
from typing import Final

from rich.console import Console

WIDTH_WITHOUT_TERMINAL: Final = 120


def results() -> Console:
    """Return the console for results; without a terminal behind it, plain text of a fixed width."""
    console = Console(file=sys.stdout)
    return (
        console if console.is_terminal else Console(file=sys.stdout, width=WIDTH_WITHOUT_TERMINAL)
    )


def note(sentence: str) -> None:
    """Tell something that is no result."""
    Console(file=sys.stderr, soft_wrap=True).print(sentence, markup=False, highlight=False)
