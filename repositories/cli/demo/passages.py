"""A source's documentation in passages.

Its documents by section, and the docstrings of its modules, classes and functions.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final, TypeAlias

from domain import KnowledgeChunk
from repositories.cli.demo.sanitizing import storable

if TYPE_CHECKING:
    from repositories.cli.demo.source import Document, Source

PASSAGE_CHARACTERS: Final = 1_000
"""About 200 words: with static vectors a longer passage is near to everything and to nothing."""

SHORTEST_DOCSTRING: Final = 60
_HEADING: Final = {
    "markdown": re.compile(r"^#{1,6}[ \t]+(.+?)[ \t#]*$", re.MULTILINE),
    "rst": re.compile(r"^(\S.*)\n([=~^\"'`#*+-])\2{3,}[ \t]*$", re.MULTILINE),
}
_LANGUAGES: Final = {".md": "markdown", ".rst": "rst"}
_Documented: TypeAlias = "ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef"


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A text with a title, and where it stands."""

    name: str
    source: str
    kind: str
    language: str | None
    title: str
    text: str


def passages(source: Source) -> list[KnowledgeChunk]:
    """Return the passages without embeddings, documents first.

    A text that comes twice is told once.
    """
    names: Counter[str] = Counter()
    told: set[str] = set()
    chunks: list[KnowledgeChunk] = []
    for section in _sections(source):
        for text in packed(section.text):
            if text not in told:
                told.add(text)
                names[section.name] += 1
                chunks.append(_chunk(source, section, text, number=names[section.name]))
    return chunks


def packed(text: str, limit: int = PASSAGE_CHARACTERS) -> Iterator[str]:
    """Yield the text's paragraphs, as many together as have `limit` characters.

    A longer paragraph is parted at blanks.
    """
    passage = ""
    for paragraph in _bounded(re.split(r"\n[ \t]*\n", text.strip("\n")), limit):
        if passage and len(passage) + len(paragraph) + 2 > limit:
            yield passage
            passage = ""
        passage = f"{passage}\n\n{paragraph}" if passage else paragraph
    if passage:
        yield passage


def _bounded(paragraphs: Iterable[str], limit: int) -> Iterator[str]:
    for paragraph in paragraphs:
        rest = paragraph.rstrip()
        while len(rest) > limit:
            cut = max(rest.rfind(" ", 1, limit), rest.rfind("\n", 1, limit))
            cut = limit if cut < 1 else cut
            yield rest[:cut]
            rest = rest[cut:].lstrip()
        if rest.strip():
            yield rest


def _chunk(source: Source, section: Section, text: str, *, number: int) -> KnowledgeChunk:
    summary = " ".join(text.split("\n\n", 1)[0].split())
    return KnowledgeChunk(
        chunk_id=f"{section.name}#{number}",
        repo=source.repo,
        source=section.source,
        source_type="doc",
        language=section.language,
        title=section.title,
        summary=summary if len(summary) <= 200 else None,
        content=text,
        metadata_={"kind": section.kind},
    )


def _sections(source: Source) -> Iterator[Section]:
    for document in source.documents:
        yield from document_sections(document)
    for path in source.files:
        tree = _parsed(path)
        if tree is not None:
            yield from _docstrings(tree, source.relative(path))


def _parsed(path: Path) -> ast.Module | None:
    """Return the module; None where it is no Python, of which the linter tells."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about somebody else's escape sequences
        try:
            return ast.parse(path.read_bytes())
        except (SyntaxError, ValueError, RecursionError):
            return None


def document_sections(document: Document) -> Iterator[Section]:
    """Yield the document's sections, by the headings of Markdown or reStructuredText.

    Another text is one section.
    """
    language = _LANGUAGES.get(PurePosixPath(document.name).suffix.lower())
    found = [] if language is None else list(_HEADING[language].finditer(document.text))
    starts = [0, *(heading.start() for heading in found), len(document.text)]
    titles = [PurePosixPath(document.name).name, *(heading[1] for heading in found)]
    bodies = [0, *(heading.end() for heading in found)]
    for title, body, (_, end) in zip(titles, bodies, pairwise(starts), strict=True):
        yield Section(
            name=f"{document.name}:{title}"[:400],
            source=document.name,
            kind="document",
            language=language,
            title=title,
            text=document.text[body:end],
        )


def _docstrings(tree: ast.Module, path: str) -> Iterator[Section]:
    module = path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    documented: Iterator[tuple[str, ast.Module | _Documented]] = iter(
        [(module, tree), *_definitions(tree, module)]
    )
    for name, node in documented:
        docstring = storable(ast.get_docstring(node) or "")
        if len(docstring) >= SHORTEST_DOCSTRING:
            kind = {ast.Module: "module", ast.ClassDef: "class"}.get(type(node), "function")
            yield Section(
                name=name[:400],
                source=path,
                kind=kind,
                language="python",
                title=name,
                text=docstring,
            )


def _definitions(tree: ast.AST, prefix: str) -> Iterator[tuple[str, _Documented]]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            name = f"{prefix}.{node.name}"
            yield name, node
            yield from _definitions(node, name)
        elif isinstance(node, ast.If | ast.Try | ast.With):
            yield from _definitions(node, prefix)
