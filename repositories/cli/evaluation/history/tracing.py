"""The lines of a base commit that a later commit changes."""

from __future__ import annotations

import re
from collections import defaultdict
from typing import TYPE_CHECKING, Final, TypeAlias

from repositories.cli.evaluation.history.languages import language_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from repositories.cli.evaluation.history.commits import Commit
    from repositories.cli.evaluation.history.git import GitRepository

Lines: TypeAlias = "Mapping[str, set[int]]"
"""Numbers of lines by path, from 1."""

_HUNK: Final = re.compile(r"^@@ -(\d+)(?:,(\d+))? ")
_BLAMED: Final = re.compile(r"^([0-9a-f]{40,64}) (\d+) \d+(?: \d+)?$")


def traced_lines(repository: GitRepository, commit: Commit, base: str) -> Lines:
    """Return the lines of the base commit that the commit changes, moved and renamed ones included.

    The commit descends from the base. Lines that were written in between are left out. An insertion
    counts as a change of the line before it and of the line after it.
    """
    parent = commit.parents[0]
    traced: defaultdict[str, set[int]] = defaultdict(set)
    for path, ranges in _changed_ranges(repository, commit).items():
        if parent == base:
            for first, last in ranges:
                traced[path].update(range(first, last + 1))
        else:
            for origin, number in _blamed(repository, base, parent, path, ranges):
                traced[origin].add(number)
    return traced


def _changed_ranges(
    repository: GitRepository, commit: Commit
) -> Mapping[str, list[tuple[int, int]]]:
    """Return the ranges of lines that the commit changes, by the path before the commit."""
    ranges: defaultdict[str, list[tuple[int, int]]] = defaultdict(list)
    path = None
    diff = repository.text(
        *("diff", "-U0", "-M", "-w", "--no-color", "--no-ext-diff", "--no-textconv"),
        *("--src-prefix=a/", "--dst-prefix=b/", commit.parents[0], commit.sha),
    )
    for line in diff.split("\n"):
        if line.startswith("diff --git "):
            path = None
        elif line.startswith("--- ") and path is None:
            name = line.removeprefix("--- a/").rstrip("\t")
            path = name if language_of(name) is not None else None
        elif path is not None and (hunk := _HUNK.match(line)):
            first, count = int(hunk[1]), int(hunk[2] or 1)
            if count:
                ranges[path].append((first, first + count - 1))
            elif first:
                ranges[path].append((first, first + 1))
    return ranges


def _blamed(
    repository: GitRepository,
    base: str,
    parent: str,
    path: str,
    ranges: Sequence[tuple[int, int]],
) -> Iterator[tuple[str, int]]:
    """Yield path and number in the base commit of the lines that it has already."""
    length = repository.text("cat-file", "blob", f"{parent}:{path}").count("\n") + 1
    lines = [f"-L{first},{min(last, length)}" for first, last in ranges if first <= length]
    sha, number = "", 0
    blame = repository.text(
        *("blame", "--line-porcelain", "-w", "-M", *lines, f"{base}..{parent}", "--", path)
    )
    for line in blame.split("\n"):
        if header := _BLAMED.match(line):
            sha, number = header[1], int(header[2])
        elif line.startswith("filename ") and sha == base:
            yield line.removeprefix("filename "), number
