"""Glob patterns of paths, such as `src/api/**`: one parser for the server's and the fake's match.

`*` stands for any characters but `/`, `?` for one of them. A segment `**` stands for any number of
directories: `src/**/x.py` matches `src/x.py` and `src/a/b/x.py`, and `src/api/**` matches each path
below `src/api/`. A backslash makes the next character an ordinary one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import Enum
from functools import lru_cache
from typing import Final, TypeAlias

from domain.errors import InvalidFilter

MAX_GLOB_LENGTH: Final = 1_000
MAX_WILDCARDS: Final = 20


class Wildcard(Enum):
    """A part of a pattern that stands for other characters; its value is a regular expression."""

    ONE = "[^/]"
    ANY = "[^/]*"
    DIRECTORIES = "(?:.*/)?"
    REST = ".+"


Glob: TypeAlias = Sequence[str | Wildcard]
"""Texts and wildcards, in order."""

_TOKEN: Final = re.compile(
    r"(?P<directories>(?:(?<=/)|^)\*\*/)|(?P<rest>(?:(?<=/)|^)\*\*$)|(?P<any>\*+)|(?P<one>\?)"
    r"|(?P<text>(?:[^][{}\\*?]+|\\.)+)|(?P<unsupported>[][{}\\])",
    re.DOTALL,
)
_ESCAPE: Final = re.compile(r"\\(.)", re.DOTALL)
_WILDCARDS: Final = {
    "directories": Wildcard.DIRECTORIES,
    "rest": Wildcard.REST,
    "any": Wildcard.ANY,
    "one": Wildcard.ONE,
}
_WITH_ESCAPES: Final = {
    place: f"\\{chr(place)}"
    for place in range(128)
    if not chr(place).isalnum() and chr(place) not in " /_"
}


@lru_cache(256)
def parse_glob(pattern: str, field: str) -> Glob:
    """Return the parts of a pattern.

    Raises:
        InvalidFilter: it is empty or too long, has too many wildcards, or has a character that
            other globs use for classes and alternatives.
    """
    if not 1 <= len(pattern) <= MAX_GLOB_LENGTH:
        raise InvalidFilter(
            f"a glob has 1 to {MAX_GLOB_LENGTH:,} characters, not {len(pattern):,}", field=field
        )
    parts: list[str | Wildcard] = []
    for token in _TOKEN.finditer(pattern):
        kind = token.lastgroup or ""
        if kind == "unsupported":
            raise InvalidFilter(
                f"a glob has no {token[0]!r}: combine several with |, or write \\{token[0]} for the"
                " character itself",
                field=field,
            )
        parts.append(_WILDCARDS.get(kind) or "".join(_ESCAPE.split(token[0])))
    wildcards = sum(map(parts.count, Wildcard))
    if wildcards > MAX_WILDCARDS:
        raise InvalidFilter(
            f"a glob has at most {MAX_WILDCARDS} wildcards, not {wildcards}: write a shorter one",
            field=field,
        )
    return parts


def glob_regex(glob: Glob) -> str:
    """Return the pattern as a regular expression of PostgreSQL."""
    parts = (
        part.value if isinstance(part, Wildcard) else part.translate(_WITH_ESCAPES) for part in glob
    )
    return f"^{''.join(parts)}$"


def glob_matches(glob: Glob, path: str) -> bool:
    """Return whether a path matches the pattern, in time linear in both."""
    places = {0}
    for part in glob:
        if not places:
            break
        if isinstance(part, Wildcard):
            places = _advance(part, places, path)
        else:
            places = {place + len(part) for place in places if path.startswith(part, place)}
    return len(path) in places


def _advance(wildcard: Wildcard, places: set[int], path: str) -> set[int]:
    match wildcard:
        case Wildcard.ONE:
            return {place + 1 for place in places if path[place : place + 1] not in ("", "/")}
        case Wildcard.ANY:
            return _any(places, path)
        case Wildcard.DIRECTORIES:
            first = min(places, default=len(path))
            below = {n + 1 for n in range(first, len(path)) if path[n] == "/"}
            return places | below
        case Wildcard.REST:
            return {len(path)} if places and min(places) < len(path) else set()


def _any(places: set[int], path: str) -> set[int]:
    reached: set[int] = set()
    for start in places:
        place = start
        while place not in reached:
            reached.add(place)
            if place == len(path) or path[place] == "/":
                break
            place += 1
    return reached
