"""Measurements of the code's structure."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from domain import SuppressionLogEntry
from tests.docs.reference.markdown import table
from tests.unit import test_layers as layers
from tests.unit import test_private_names as private

ROOT: Final = Path(__file__).parents[3]
EXAMPLE: Final = SuppressionLogEntry
"""An entity with the generic operations alone."""

_NOT_NEEDED: Final = ("repositories/cli/demo", "repositories/testing")
"""Code that uses the entity and would not have to."""


def rows() -> str:
    """Return the table."""
    figures = [
        ("imports that point to a higher layer", f"{len(upward_imports())}"),
        ("modules that import each other", f"{len(layers.cycles())}"),
        ("private names of other libraries outside the guarded module", f"{len(private_uses())}"),
        ("files that add an entity", f"{len(files_of_an_entity())}"),
        ("public functions, methods and classes without a docstring", f"{len(undocumented())}"),
    ]
    return table(("measurement", "now"), figures)


def files() -> str:
    """Return the files that name an entity, as a list."""
    return "\n".join(f"- `{file}`" for file in files_of_an_entity())


def upward_imports() -> list[str]:
    """Return the imports that point to a higher layer."""
    return [
        f"{module}: {name}"
        for module, path in layers.MODULES.items()
        for name in layers.upward(module, path.read_text(encoding="utf-8"), typing=False)
    ]


def private_uses() -> list[str]:
    """Return the private names of other libraries that the packages use."""
    return [name for source in private.MODULES.values() for name in private.private_names(source)]


def files_of_an_entity() -> list[str]:
    """Return the files of the packages that name the entity, its attribute or its new table."""
    table_name = f'create_table("{EXAMPLE.__tablename__}"'
    names = (EXAMPLE.__name__, "def suppressions(", table_name)
    files = [*(ROOT / "domain").rglob("*.py*"), *(ROOT / "repositories").rglob("*.py")]
    sources = {
        str(path.relative_to(ROOT)): "".join(path.read_text(encoding="utf-8").split("\n        "))
        for path in files
        if path.suffix in {".py", ".pyi"}
    }
    return sorted(
        file
        for file, source in sources.items()
        if any(name in source for name in names) and not file.startswith(_NOT_NEEDED)
    )


def undocumented() -> list[str]:
    """Return the public functions, methods and classes that have no docstring.

    A method of a class may have the docstring of a base class, such as a port. Properties do not
    count, because their name says what they return.
    """
    documented = {name for path in _modules() for name, node in _public(path) if _has_text(node)}
    return sorted(
        f"{path.relative_to(ROOT)}: {name}"
        for path in _modules()
        for name, node in _public(path)
        if not _has_text(node) and name not in documented
    )


def _modules() -> list[Path]:
    return [path for path in layers.MODULES.values() if "versions" not in path.parts]


def _public(path: Path) -> Iterator[tuple[str, ast.AST]]:
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        match node:
            case ast.ClassDef(name=name) if not name.startswith("_"):
                yield name, node
                yield from _members(node)
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                if not name.startswith("_"):
                    yield name, node


def _members(owner: ast.ClassDef) -> Iterator[tuple[str, ast.AST]]:
    for node in owner.body:
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                if not name.startswith("_") and not node.decorator_list:
                    yield name, node


def _has_text(node: ast.AST) -> bool:
    match node:
        case ast.ClassDef() | ast.FunctionDef() | ast.AsyncFunctionDef():
            return ast.get_docstring(node) is not None
    return False
