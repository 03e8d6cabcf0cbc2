"""Commits after a base commit, and which of their subjects can be queries."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from repositories.cli.evaluation.history.languages import language_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from repositories.cli.evaluation.history.git import GitRepository

MOST_FILES: Final = 5
"""Most source files of a commit whose subject is a query."""

FEWEST_WORDS: Final = 3
"""Fewest words of a query."""


class Dropped(StrEnum):
    """Why a commit gives no query."""

    MERGE = "a merge"
    BOT = "by a bot"
    RELEASE = "a release or a version bump"
    BACKPORT = "a backport"
    REVERT = "a revert"
    FEW_WORDS = f"a subject of fewer than {FEWEST_WORDS} words"
    NO_SOURCE = "changes no source file that existed"
    MANY_FILES = f"changes more than {MOST_FILES} source files"
    DUPLICATE = "a subject that another commit has"
    SIDE_BRANCH = "on a branch from before the base commit"
    NO_PASSAGE = "changes no line of the base commit"
    MANY_PASSAGES = "changes too many passages of the base commit"


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """One commit; `files` are the paths before it of the source files that it changes."""

    sha: str
    parents: tuple[str, ...]
    author: str
    subject: str
    files: tuple[str, ...]

    @property
    def query(self) -> str:
        """The subject without references to issues and the type of a conventional commit."""
        return " ".join(_NOISE.sub(" ", _TYPE.sub(r"\1 ", self.subject)).split())

    @property
    def drop_reason(self) -> Dropped | None:
        """Why the subject cannot be a query; None if it can."""
        return next((reason for reason, applies in self._reasons() if applies), None)

    def _reasons(self) -> Iterator[tuple[Dropped, bool]]:
        yield Dropped.MERGE, len(self.parents) != 1 or self.subject.startswith("Merge ")
        yield Dropped.BOT, _BOT.search(self.author) is not None
        yield Dropped.BACKPORT, _BACKPORT.search(self.subject) is not None
        yield Dropped.REVERT, self.subject.lower().startswith("revert ")
        yield Dropped.RELEASE, _RELEASE.search(self.subject) is not None
        yield Dropped.FEW_WORDS, len(_WORD.findall(self.query)) < FEWEST_WORDS
        yield Dropped.NO_SOURCE, not self.files
        yield Dropped.MANY_FILES, len(self.files) > MOST_FILES


def commits(repository: GitRepository) -> Iterator[Commit]:
    """Yield the commits of the checked-out branch, each before its parents."""
    log = repository.text(
        "log",
        *("--topo-order", "--raw", "-M", "-r", "--no-abbrev", "--no-color"),
        "--format=%x01%H%x00%P%x00%an <%ae>%x00%s",
        "HEAD",
    )
    for record in log.split("\x01")[1:]:
        header, *changes = record.rstrip("\n").split("\n")
        sha, parents, author, subject = header.split("\0", 3)
        yield Commit(
            sha=sha,
            parents=tuple(parents.split()),
            author=author,
            subject=subject,
            files=tuple(_changed(changes)),
        )


def main_line(repository: GitRepository) -> list[str]:
    """Return the commits of the main line, newest first: the first parents from HEAD on."""
    return repository.text("rev-list", "--first-parent", "HEAD").split()


def _changed(changes: list[str]) -> Iterator[str]:
    """Yield the paths, before the commit, of source files that it modifies, moves or deletes."""
    for line in changes:
        if line.startswith(":"):
            fields, path, *_ = line.split("\t")
            if fields.split()[-1][0] in "MRD" and language_of(path) is not None:
                yield path


_WORD: Final = re.compile(r"[^\W\d_]{2,}")
_TYPE: Final = re.compile(
    r"^(?:build|chore|ci|docs?|feat|fix|perf|refactor|style|tests?)(?:\(([^)]*)\))?!?:",
    re.IGNORECASE,
)
_NOISE: Final = re.compile(
    r"\((?:(?:close[sd]?|fix(?:e[sd])?|resolve[sd]?|refs?|see)?:?\s*(?:\S+/\S+)?(?:#|gh-)\d+,?\s*)+\)"
    r"|\b(?:close[sd]?|fix(?:e[sd])?|resolve[sd]?|refs?|see):?\s+(?:\S+/\S+)?(?:#|gh-)\d+"
    r"|(?<!\w)(?:#|gh-)\d+",
    re.IGNORECASE,
)
_BOT: Final = re.compile(
    r"\[bot\]|[-_ ]bot\b"
    r"|\b(?:bors|dependabot|renovate|greenkeeper|pre-commit-ci|pyup|snyk|weblate)\b",
    re.IGNORECASE,
)
_BACKPORT: Final = re.compile(
    r"back-?port|cherry[- ]?pick|forward-?port|^\[(?:v?\d+\.(?:\d+|x)|stable)", re.IGNORECASE
)
_RELEASE: Final = re.compile(
    r"^v?\d+\.\d+[\w.]*\b|^(?:pre-?)?release\b|^(?:start|begin|prepare|tag|cut|mark)\b.*"
    r"(?:release|version|v?\d+\.\d+)|^(?:chore\W+)?(?:bump|upgrade|update|pin)\b.*"
    r"(?:version|dependenc|requirements|pre-?commit|lock|\bto v?\d|from v?\d|v?\d+\.\d+)"
    r"|^version \d|^(?:chore\(release\)|chore\(deps)|^set version|^back to dev",
    re.IGNORECASE,
)
