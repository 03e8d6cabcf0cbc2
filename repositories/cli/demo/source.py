"""The source that the demo reviews: an installed package, or a folder."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final

from domain.errors import ConfigurationError
from repositories.cli.demo.linter import python_files
from repositories.cli.sanitizing import storable

if TYPE_CHECKING:
    from collections.abc import Iterator

DEFAULT_PACKAGE: Final = "alembic"
"""Recollect depends on it, it is pure Python, and its docstrings are written to be read."""

MAX_FILES: Final = 5_000
MAX_FILE_BYTES: Final = 2_000_000
_DOCUMENTS: Final = (".md", ".rst", ".txt")


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentationFile:
    """A text beside the code, such as a README; `name` is its path, whose suffix is its format."""

    name: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Python files under `root`, and the documentation beside them."""

    owner: str
    name: str
    version: str
    root: Path
    files: tuple[Path, ...]
    documents: tuple[DocumentationFile, ...]

    @property
    def repo(self) -> str:
        """The name under which the demo stores it, as owner/name."""
        return f"{self.owner}/{self.name}"

    def relative(self, path: Path) -> str:
        """Return the path of a file, which begins with the name of the root folder."""
        return storable(path.relative_to(self.root.parent).as_posix())

    def head(self) -> str:
        """Return 40 hexadecimal digits in place of a commit; they change with any file."""
        digest = hashlib.sha256()
        for path in self.files:
            digest.update(_entry(self.relative(path), path.read_bytes()))
        for document in self.documents:
            digest.update(_entry(document.name, document.text.encode()))
        return digest.hexdigest()[:40]

    def count_lines(self) -> int:
        """Return the number of lines of the Python files."""
        return sum(path.read_bytes().count(b"\n") for path in self.files)


def installed_package(name: str = DEFAULT_PACKAGE) -> Source:
    """Return an installed package, with the description of its distribution.

    Raises:
        ConfigurationError: It is not installed, or is not a package of Python files.
    """
    spec = find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise ConfigurationError(f"{name} is not an installed package", setting="source")
    try:
        installed = distribution(name)
    except PackageNotFoundError:
        raise ConfigurationError(
            f"{name} is not an installed distribution", setting="source"
        ) from None
    metadata = installed.metadata.json
    markdown = "markdown" in str(metadata.get("description_content_type", ""))
    description = DocumentationFile(
        name=f"{name}/README{'.md' if markdown else '.rst'}",
        text=storable(str(metadata.get("description", ""))),
    )
    root = Path(spec.submodule_search_locations[0]).resolve()
    return _source("installed", name, installed.version, root, (description,))


def folder(path: Path) -> Source:
    """Return the Python source under a folder, with its README and the documents of `docs`.

    Raises:
        ConfigurationError: It is not a folder, or has no Python file, or too many.
    """
    root = path.expanduser().resolve()
    if not root.is_dir():
        raise ConfigurationError(f"{path} is not a folder", setting="source")
    name = storable(root.name) or "root"
    documents = tuple(
        DocumentationFile(
            name=storable(document.relative_to(root.parent).as_posix()),
            text=storable(document.read_text(errors="replace")),
        )
        for document in _documents(root)
    )
    return _source("local", name, "", root, documents)


def _source(
    owner: str, name: str, version: str, root: Path, documents: tuple[DocumentationFile, ...]
) -> Source:
    every = [path for path in python_files(root) if path.is_relative_to(root)]
    files = tuple(path for path in every if path.stat().st_size <= MAX_FILE_BYTES)
    if not files:
        beyond = f" of at most {MAX_FILE_BYTES / 1e6:g} MB" if every else ""
        raise ConfigurationError(f"{root} has no Python file{beyond}", setting="source")
    if len(files) > MAX_FILES:
        raise ConfigurationError(
            f"{root} has {len(files):,} Python files: name a smaller folder", setting="source"
        )
    return Source(
        owner=owner, name=name, version=version, root=root, files=files, documents=documents
    )


def _documents(root: Path) -> Iterator[Path]:
    candidates = [*sorted(root.glob("README*")), *sorted((root / "docs").rglob("*"))]
    for path in candidates:
        if (
            path.suffix.lower() in _DOCUMENTS
            and path.is_file()
            and path.stat().st_size <= MAX_FILE_BYTES
        ):
            yield path


def _entry(name: str, content: bytes) -> bytes:
    return f"{name}\0{hashlib.sha256(content).hexdigest()}\n".encode()
