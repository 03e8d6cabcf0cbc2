"""Count phrases that a reader has to decode: `python -m tests.docs.style`.

The program prints the number of hits in each folder; with `--list FOLDER` it prints each hit. It
reads docstrings, comments and string literals with spaces (messages) of Python files, the names
that they define, and the text of Markdown files.
"""

from __future__ import annotations

import argparse
import ast
import io
import re
import sys
import tokenize
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.docs.pages import ROOT

PHRASES: Final = {
    "What, Who or Where at the start of a statement": (
        r"(?:^|[.!:]\s+)(?:What|Who|Where) "
        r"(?!is\b|are\b|do\b|does\b|can\b|happens\b|if\b|was\b|did\b|next\b|matters?\b)"
        r"[a-z]+[^?]*?[.!:](?:\s|$)"
    ),
    "Of at the start of a sentence": r"(?:^|[.!]\s+)Of (?:\w+ ){1,6}\w+",
    "anew": r"\banew\b",
    "not to be had": r"\b(?:not|no\b.*) to be had\b",
    "is no": r"\b(?:is|was|are|were) no (?!longer\b|more\b)\w+",
    "goes on": r"\b(?:goes|go|went) on\b",
    "behind one's back": r"\bbehind (?:one|his|its|their)\w*'?s? back\b",
    "somebody": r"\bsomebody\b|\bsomeone'?s\b",
    "nobody": r"\bnobody\b",
    "he": r"\b(?:he|him|his)\b",
    "wall": r"\bwalls?\b",
    "ledger": r"\bledger\b",
    "told": r"\b(?:is|are|was|were|be) told\b",
    "to hand": r"\bto hand\b",
    "now and then": r"\bnow and then\b",
    "laid ready": r"\b(?:laid|lay|lays|laying) ready\b|\blaid down\b",
}

PARTICIPLES: Final = frozenset(
    re.findall(
        r"\w+",
        "found kept told given wanted asked laid bound meant made said held known taken seen",
    )
)
"""Names that do not say what the value is."""

FOLDERS: Final = (
    "domain",
    "repositories",
    "recollect_command",
    "recollect_pytest",
    "tests",
    "bench",
    "examples",
    "docs",
)
FILES: Final = ("README.md", "CHANGELOG.md", "DECISIONS.md", "CONTRIBUTING.md")
EXEMPT: Final = (
    "tests/docs/style.py",
    "tests/docs/test_style.py",
    "repositories/fakes/stopwords.py",
    "repositories/migrations/versions/",
)
"""Files that contain the phrases on purpose, a list of words, and revisions, which never change."""

_COMPILED: Final = {name: re.compile(pattern) for name, pattern in PHRASES.items()}
_CODE: Final = re.compile(r"```.*?```|`[^`]*`", re.DOTALL)
_ROW: Final = re.compile(r"^\|.*\|$", re.MULTILINE)


@dataclass(frozen=True)
class Hit:
    """One phrase in one file."""

    file: str
    line: int
    rule: str
    text: str

    @property
    def folder(self) -> str:
        parts = self.file.split("/")
        return self.file if len(parts) == 1 else "/".join(parts[: min(2, len(parts) - 1)])


def hits_in(text: str, *, file: str, line: int = 1) -> Iterator[Hit]:
    """Yield the phrases in a text that begins at a line of a file."""
    prose = _CODE.sub(lambda code: re.sub(r"[^\n]", "x", code[0]), text)
    for rule, pattern in _COMPILED.items():
        for match in pattern.finditer(prose):
            start = match.start() + len(match[0]) - len(match[0].lstrip(".!: \n"))
            yield Hit(
                file, line + prose.count("\n", 0, start), rule, " ".join(match[0].split())[:90]
            )


def names_in(nodes: Sequence[ast.AST], *, file: str) -> Iterator[Hit]:
    """Yield the names of values that are participles."""
    for node in nodes:
        match node:
            case ast.Name(id=name, ctx=ast.Store()) | ast.arg(arg=name) if name in PARTICIPLES:
                yield Hit(file, node.lineno, "participle", name)


def texts_in(source: str, nodes: Sequence[ast.AST]) -> Iterator[tuple[int, str]]:
    """Yield comments, docstrings and messages with the lines where they begin."""
    comment: list[str] = []
    start = previous = 0
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            if token.start[0] != previous + 1 and comment:
                yield start, "\n".join(comment)
                comment = []
            start = start if comment else token.start[0]
            previous = token.start[0]
            comment.append(token.string.lstrip("# "))
    if comment:
        yield start, "\n".join(comment)
    for node in nodes:
        match node:
            case ast.Constant(value=str(text)) if " " in text:
                yield node.lineno, text


def hits_of(path: Path) -> Iterator[Hit]:
    """Yield the hits of one file."""
    file = str(path.relative_to(ROOT))
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".md":
        yield from hits_in(text, file=file)
        return
    nodes = list(ast.walk(ast.parse(text)))
    yield from names_in(nodes, file=file)
    for line, each in texts_in(text, nodes):
        yield from hits_in(each, file=file, line=line)


def all_hits() -> list[Hit]:
    """Return the hits of every file."""
    files = [ROOT / name for name in FILES]
    for folder in FOLDERS:
        files += sorted((ROOT / folder).rglob("*.py")) + sorted((ROOT / folder).rglob("*.md"))
    names = {path: str(path.relative_to(ROOT)) for path in files}
    return [
        hit for path, name in names.items() if not name.startswith(EXEMPT) for hit in hits_of(path)
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--list", metavar="FOLDER", help="print each hit of a folder or file")
    folder = parser.parse_args().list
    hits = all_hits()
    if folder is not None:
        for hit in hits:
            if hit.file.startswith(folder):
                show(f"{hit.file}:{hit.line}: {hit.rule}: {hit.text}")
        return
    for name, number in sorted(Counter(hit.folder for hit in hits).items()):
        show(f"{number:5} {name}")
    show(f"{len(hits):5} in all; by rule: {dict(Counter(hit.rule for hit in hits).most_common())}")


def show(line: str) -> None:
    sys.stdout.write(f"{line}\n")


if __name__ == "__main__":
    main()
