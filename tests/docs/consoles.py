"""Run the commands of a console block and compare what they print.

A line that begins with `$ ` is a command; a backslash at its end continues it. The lines below it
are the output, standard error included. In the output, `…` stands for any text within a line, and a
line that is only `…` for any number of lines.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

_ANY_LINES, _ANY_TEXT = "\x00", "\x01"


@dataclass(frozen=True)
class Command:
    """One command and the output that its page shows."""

    line: str
    output: str


def commands(text: str) -> Iterator[Command]:
    """Yield the commands of a console block."""
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        line, _, output = re.sub(r"\\\n\s*", "", part).partition("\n")
        yield Command(line, output.strip("\n"))


def matches(expected: str, output: str) -> bool:
    """Return whether the output is as its page shows it."""
    marked = re.sub(r"^…$", _ANY_LINES, expected, flags=re.MULTILINE).replace("…", _ANY_TEXT)
    pattern = re.escape(marked).replace(_ANY_TEXT, ".*?")
    pattern = pattern.replace(re.escape("\n") + _ANY_LINES, r"(?:\n[^\n]*)*?")
    pattern = pattern.replace(_ANY_LINES, r"[\s\S]*?")
    return re.fullmatch(pattern, output) is not None


def run(command: Command, *, folder: Path, environment: Mapping[str, str]) -> str:
    """Return what the command prints."""
    ran = subprocess.run(
        ["sh", "-c", command.line],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
        check=False,
    )
    return "\n".join(line.rstrip() for line in ran.stdout.strip("\n").splitlines())
