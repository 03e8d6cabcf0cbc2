"""Passages of real text: the source of the installed packages, and queries about it.

A passage is 34 lines of a Python file. A query is the first line of a docstring. Both come from the
packages that the development environment installs, so nothing is downloaded.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from importlib.metadata import distributions
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

LINES: Final = 34
MIN_CHARACTERS: Final = 200
MAX_CHARACTERS: Final = 4_000
MAX_FILE_BYTES: Final = 500_000
MIN_QUERY_WORDS: Final = 4
_DOCUMENTED: Final = re.compile(r'^ *(?:def|class) .*:\n\s+r?"""([^"\n]+)', re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Package:
    """The passages of one package, and queries about it."""

    name: str
    passages: Sequence[str]
    queries: Sequence[str]


def installed_packages(*, max_passages: int | None = None) -> Sequence[Package]:
    """Return the installed packages, the largest first. No passage occurs twice.

    Args:
        max_passages: the number of passages after which no further package is read.
    """
    texts: set[str] = set()
    packages: list[Package] = []
    for name, files in sorted(_files_by_package().items()):
        package = _read(name, files, texts)
        if package.passages:
            packages.append(package)
        if max_passages is not None and len(texts) >= max_passages:
            break
    return sorted(packages, key=lambda package: (-len(package.passages), package.name))


def _files_by_package() -> Mapping[str, Sequence[Path]]:
    files: dict[str, set[Path]] = defaultdict(set)
    for distribution in distributions():
        for file in distribution.files or ():
            if file.suffix == ".py" and len(file.parts) > 1:
                files[file.parts[0]].add(Path(str(file.locate())))
    return {name: sorted(paths) for name, paths in files.items() if name.isidentifier()}


def _read(name: str, files: Iterable[Path], texts: set[str]) -> Package:
    passages: list[str] = []
    queries: dict[str, None] = {}
    for file in files:
        if not file.is_file() or file.stat().st_size > MAX_FILE_BYTES:
            continue
        source = file.read_text(encoding="utf-8", errors="replace").replace("\0", "")
        for passage in _passages(source):
            if passage not in texts:
                texts.add(passage)
                passages.append(passage)
        queries.update(dict.fromkeys(_queries(source)))
    return Package(name, passages, list(queries))


def _passages(source: str) -> Iterator[str]:
    lines = source.splitlines()
    for start in range(0, len(lines), LINES):
        passage = "\n".join(lines[start : start + LINES])[:MAX_CHARACTERS]
        if len(passage.strip()) >= MIN_CHARACTERS:
            yield passage


def _queries(source: str) -> Iterator[str]:
    for match in _DOCUMENTED.finditer(source):
        first = match[1].strip()
        if len(first.split()) >= MIN_QUERY_WORDS:
            yield first
