"""The documentation of a source in passages: sections of documents, and docstrings."""

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
from repositories.cli.sanitizing import storable

if TYPE_CHECKING:
    from repositories.cli.demo.source import DocumentationFile, Source

PASSAGE_CHARACTERS: Final = 1_000
"""About 200 words; the mean of more word vectors is close to every text."""

SHORTEST_DOCSTRING: Final = 60
_HEADING: Final = {
    "markdown": re.compile(r"^#{1,6}[ \t]+(.+?)[ \t#]*$", re.MULTILINE),
    "rst": re.compile(r"^(\S.*)\n([=~^\"'`#*+-])\2{3,}[ \t]*$", re.MULTILINE),
}
_LANGUAGES: Final = {".md": "markdown", ".rst": "rst"}
_Documented: TypeAlias = "ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef"


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A text with its title and its origin."""

    name: str
    source: str
    kind: str
    language: str | None
    title: str
    text: str


def passages(source: Source) -> list[KnowledgeChunk]:
    """Return the passages without embeddings, documents first and each text once."""
    names: Counter[str] = Counter()
    texts: set[str] = set()
    chunks: list[KnowledgeChunk] = []
    for section in _sections(source):
        for text in packed(section.text):
            if text not in texts:
                texts.add(text)
                names[section.name] += 1
                chunks.append(_chunk(source, section, text, number=names[section.name]))
    return chunks


def packed(text: str, limit: int = PASSAGE_CHARACTERS) -> Iterator[str]:
    """Yield passages of at most `limit` characters, each of as many paragraphs as fit.

    A longer paragraph is split at whitespace.
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
    """Return the module; None if it is not valid Python, which the linter reports."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # invalid escape sequences in the source
        try:
            return ast.parse(path.read_bytes())
        except (SyntaxError, ValueError, RecursionError):
            return None


def document_sections(document: DocumentationFile) -> Iterator[Section]:
    """Yield the sections of Markdown or reStructuredText; other text is one section."""
    language = _LANGUAGES.get(PurePosixPath(document.name).suffix.lower())
    headings = [] if language is None else list(_HEADING[language].finditer(document.text))
    starts = [0, *(heading.start() for heading in headings), len(document.text)]
    titles = [PurePosixPath(document.name).name, *(heading[1] for heading in headings)]
    bodies = [0, *(heading.end() for heading in headings)]
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
