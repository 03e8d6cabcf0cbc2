"""Build a collection: passages of a base commit, queries and judgements of later commits."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from dataclasses import asdict, dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from domain.errors import ConfigurationError, InvalidInput
from repositories.cli.evaluation.collection import DOCUMENTS, QUERIES, RELEVANCE
from repositories.cli.evaluation.history.commits import Commit, Dropped, commits, main_line
from repositories.cli.evaluation.history.languages import language_of
from repositories.cli.evaluation.history.splitting import Passage, passages
from repositories.cli.evaluation.history.tracing import traced_lines

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from repositories.cli.evaluation.history.git import GitRepository

CANDIDATES_PER_QUERY: Final = 2
"""Commits after the base for each query: about half change only lines written after it."""

MOST_PASSAGES: Final = 12
"""Most relevant passages of a query."""

FEWEST_QUERIES: Final = 10
MOST_FILE_BYTES: Final = 1_000_000


@dataclass(slots=True)
class History:
    """The counts of a collection that was built."""

    base: str
    passages: int = 0
    files: int = 0
    queries: int = 0
    judgements: int = 0
    commits: int = 0
    dropped: Counter[Dropped] = field(default_factory=Counter)

    def figures(self) -> list[tuple[str, str]]:
        """Return names and values that describe the collection."""
        return [
            ("base commit", self.base[:12]),
            ("passages", f"{self.passages:,} of {self.files:,} files"),
            ("queries", f"{self.queries:,} of {self.commits:,} later commits"),
            ("relevant passages", f"{self.judgements:,}"),
        ]

    def dropped_figures(self) -> list[tuple[str, str]]:
        """Return the reasons why commits give no query, with their numbers."""
        return [(reason.value, f"{number:,}") for reason, number in self.dropped.most_common()]

    def as_json(self) -> dict[str, Any]:
        """Return the counts as one JSON object."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A query and the ids of its relevant passages."""

    commit: Commit
    relevant: Sequence[str]


def build(
    repository: GitRepository,
    folder: Path,
    *,
    queries: int,
    base: str | None = None,
    advance: Callable[[int, int], None],
) -> History:
    """Write a collection into the folder, which is created.

    Args:
        repository: the repository; HEAD is the newest commit that is read.
        folder: the folder for the three files of the collection.
        queries: the most queries.
        base: the commit whose tree is searched; by default one of the main line that has twice as
            many usable commits after it as `queries`.
        advance: called after each commit with the number of commits and of all commits to read.

    Raises:
        ConfigurationError: The folder has files, or `base` is not on the main line.
        InvalidInput: The tree has no source file, or the history gives too few queries.
    """
    if folder.exists() and any(folder.iterdir()):
        raise ConfigurationError(f"{folder} is not empty; name another folder", setting="output")
    every = list(commits(repository))
    line = main_line(repository)
    start = _resolve(repository, base, line) if base else _base(every, line, queries)
    later = _later(repository, every, start)
    history = History(base=start, commits=len(later))
    texts = list(_tree(repository, start))
    if not texts:
        raise InvalidInput(f"commit {start[:12]} has no source file of a known language")
    history.files, history.passages = len({passage.path for passage in texts}), len(texts)
    judged = list(_judged(repository, start, later, texts, history, queries, advance))
    if len(judged) < FEWEST_QUERIES:
        raise InvalidInput(
            f"the history is too short: {len(later):,} commits after {start[:12]} give"
            f" {len(judged)} queries, and a collection has at least {FEWEST_QUERIES}"
        )
    _write(folder, texts, judged)
    history.queries, history.judgements = len(judged), sum(len(one.relevant) for one in judged)
    return history


def _resolve(repository: GitRepository, base: str, line: Sequence[str]) -> str:
    sha = repository.text("rev-parse", "--verify", "--end-of-options", f"{base}^{{commit}}").strip()
    if sha not in line:
        raise ConfigurationError(f"{base} is not on the main line of HEAD", setting="base")
    return sha


def _base(every: Sequence[Commit], line: Sequence[str], queries: int) -> str:
    """Return the newest commit of the main line with enough usable commits after it.

    A short history is divided: two thirds of its usable commits are after the base.
    """
    usable = sum(commit.drop_reason is None for commit in every)
    enough = min(CANDIDATES_PER_QUERY * queries, usable * 2 // 3)
    on_main_line, after = set(line), 0
    for commit in every:
        if commit.sha in on_main_line and after >= enough:
            return commit.sha
        after += commit.drop_reason is None
    return line[-1]


def _later(repository: GitRepository, every: Sequence[Commit], base: str) -> list[Commit]:
    """Return the commits after the base, each after its parents."""
    after = set(repository.text("rev-list", f"{base}..HEAD").split())
    return [commit for commit in reversed(every) if commit.sha in after]


def _tree(repository: GitRepository, base: str) -> Iterator[Passage]:
    listing = repository.text("ls-tree", "-r", "--long", "--full-tree", base).splitlines()
    paths = [path for path in map(_source_path, listing) if path is not None]
    for path, content in zip(
        paths, repository.blobs(f"{base}:{path}" for path in paths), strict=True
    ):
        yield from passages(path, content.decode(errors="replace").replace("\0", ""))


def _source_path(entry: str) -> str | None:
    fields, path = entry.split("\t", 1)
    _, kind, _, size = fields.split()
    is_source = kind == "blob" and int(size) <= MOST_FILE_BYTES and language_of(path) is not None
    return path if is_source and not path.startswith('"') else None


def _judged(
    repository: GitRepository,
    base: str,
    later: Sequence[Commit],
    texts: Iterable[Passage],
    history: History,
    queries: int,
    advance: Callable[[int, int], None],
) -> Iterator[Judged]:
    descendants = set(repository.text("rev-list", "--ancestry-path", f"{base}..HEAD").split())
    by_path: defaultdict[str, list[Passage]] = defaultdict(list)
    for passage in texts:
        by_path[passage.path].append(passage)
    subjects: set[str] = set()

    def judge(commit: Commit) -> Judged | Dropped:
        if commit.drop_reason is not None:
            return commit.drop_reason
        if commit.query.lower() in subjects:
            return Dropped.DUPLICATE
        if commit.sha not in descendants:
            return Dropped.SIDE_BRANCH
        lines = traced_lines(repository, commit, base)
        relevant = list(_relevant(by_path, lines))
        if not relevant:
            return Dropped.NO_PASSAGE
        subjects.add(commit.query.lower())
        too_many = len(relevant) > MOST_PASSAGES
        return Dropped.MANY_PASSAGES if too_many else Judged(commit=commit, relevant=relevant)

    def judged() -> Iterator[Judged]:
        for number, commit in enumerate(later, start=1):
            verdict = judge(commit)
            advance(number, len(later))
            if isinstance(verdict, Judged):
                yield verdict
            else:
                history.dropped[verdict] += 1

    yield from islice(judged(), queries)


def _relevant(
    by_path: Mapping[str, Sequence[Passage]], lines: Mapping[str, set[int]]
) -> Iterator[str]:
    for path, numbers in lines.items():
        for passage in by_path.get(path, ()):
            if not numbers.isdisjoint(range(passage.first, passage.last + 1)):
                yield passage.id


def _write(folder: Path, texts: Iterable[Passage], judged: Sequence[Judged]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    documents = ({"id": text.id, "title": text.path, "text": text.text} for text in texts)
    queries = ({"id": one.commit.sha, "text": one.commit.query} for one in judged)
    _lines(folder / DOCUMENTS, map(json.dumps, documents))
    _lines(folder / QUERIES, map(json.dumps, queries))
    pairs = ((one.commit.sha, passage) for one in judged for passage in one.relevant)
    rows = (f"{sha}\t{passage}\t1" for sha, passage in pairs)
    _lines(folder / RELEVANCE, ["query\tdocument\tgrade", *rows])


def _lines(path: Path, lines: Iterable[str]) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.writelines(f"{line}\n" for line in lines)
