"""Imports point downwards: one table of layers for the two packages."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT: Final = Path(__file__).parents[2]

LAYERS: Final = (
    ("domain.errors",),
    ("domain.values",),
    ("domain.schema",),
    ("domain.entities",),
    ("domain.results",),
    ("domain.ports",),
    ("domain",),
    ("repositories.registry", "repositories.common_search", "repositories.embedding_record"),
    ("repositories.provider",),
    ("repositories.sql",),
    ("repositories.postgres",),
    (
        "repositories.migrations",
        "repositories.bulk",
        "repositories.bulk_changes",
        "repositories.recorder",
    ),
    (
        "repositories.operations",
        "repositories.backup",
        "repositories.fakes",
        "repositories.embedded",
    ),
    ("repositories.registration",),
    ("repositories.base", "repositories.explain"),
    ("repositories.search", "repositories.conflict_writes"),
    ("repositories.reembedding", "repositories.searchable"),
    (
        "repositories.authors",
        "repositories.dependencies",
        "repositories.knowledge",
        "repositories.learning",
        "repositories.reviews",
        "repositories.runs",
        "repositories.telemetry",
    ),
    ("repositories.federated_search",),
    ("repositories.unit_of_work",),
    ("repositories.retry",),
    ("repositories.database_connection",),
    ("repositories.database_tasks",),
    ("repositories.database",),
    ("repositories",),
    ("repositories.testing",),
    ("repositories.cli",),
)
"""From the lowest layer to the highest.

A module imports from its own folder and from lower layers.
"""

ADVICE: Final = (
    "each of these modules imports a module of a higher layer, or of another folder of its own"
    " layer: move what it imports to a lower layer of LAYERS in tests/unit/test_layers.py"
)

HEIGHT: Final = {name: height for height, layer in enumerate(LAYERS) for name in layer}


def module_of(path: Path) -> str:
    name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    return name.removesuffix(".__init__")


MODULES: Final = {
    module_of(path): path
    for package in ("domain", "repositories")
    for path in (ROOT / package).rglob("*.py")
}


def place_of(module: str) -> str:
    """Return the entry of the table that holds the module.

    The longest that its name begins with.
    """
    parts = module.split(".")
    # A package is its own place only for its `__init__`.
    candidates = [".".join(parts[:length]) for length in range(len(parts), 0, -1)]
    for name in candidates:
        if name in HEIGHT and (name not in {"domain", "repositories"} or name == module):
            return name
    raise LookupError(f"{module} has no layer: add it to LAYERS in tests/unit/test_layers.py")


def nodes(node: ast.AST, *, typing: bool) -> Iterator[ast.AST]:
    """Yield what is below a node; without `typing` nothing of `if TYPE_CHECKING`."""
    if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING" and not typing:
        return
    yield node
    for child in ast.iter_child_nodes(node):
        yield from nodes(child, typing=typing)


def imported(source: str, *, typing: bool = False) -> Iterator[str]:
    """Yield the modules that `source` imports from the two packages; `typing` adds annotations'."""
    for node in nodes(ast.parse(source), typing=typing):
        if isinstance(node, ast.Import):
            yield from (
                alias.name
                for alias in node.names
                if alias.name.split(".")[0] in {"domain", "repositories"}
            )
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in {
            "domain",
            "repositories",
        }:
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield whole if whole in MODULES else str(node.module)


def upward(module: str, source: str, *, typing: bool) -> list[str]:
    """Return the imports of a higher layer, or of another folder of the same layer."""
    here = place_of(module)
    places = ((name, place_of(name)) for name in imported(source, typing=typing))
    return [name for name, place in places if place != here and HEIGHT[place] >= HEIGHT[here]]


def test_every_module_has_a_layer() -> None:
    assert {place_of(module) for module in MODULES} == set(HEIGHT), (
        "remove the lines without a module from LAYERS in tests/unit/test_layers.py"
    )


def test_no_import_points_upwards() -> None:
    imports = {
        module: upward(module, path.read_text(), typing=False) for module, path in MODULES.items()
    }
    assert {module: names for module, names in imports.items() if names} == {}, ADVICE


def test_in_repositories_annotations_do_not_point_upwards_either() -> None:
    imports = {
        module: upward(module, path.read_text(), typing=True)
        for module, path in MODULES.items()
        if module.startswith("repositories.") and module != "repositories.cli"
    }
    assert {module: names for module, names in imports.items() if names} == {}, ADVICE


def test_a_planted_upward_import_is_found() -> None:
    source = (
        "from repositories.database import Database\nif TYPE_CHECKING:\n"
        "    from repositories.cli import app\n"
    )
    assert upward("repositories.postgres.pool", source, typing=False) == ["repositories.database"]
    assert upward("repositories.postgres.pool", source, typing=True) == [
        "repositories.database",
        "repositories.cli.app",
    ]
    assert upward(
        "repositories.bulk.driver", "def f():\n    from repositories import recorder", typing=False
    ) == ["repositories.recorder"]


def cycles() -> list[set[str]]:
    """Return the groups of modules that import each other when they run."""
    graph = {
        module: {name for name in imported(path.read_text()) if name in MODULES}
        for module, path in MODULES.items()
    }
    reach: dict[str, set[str]] = {}
    for start in graph:
        reached, todo = set[str](), [start]
        while todo:
            for name in graph[todo.pop()] - reached:
                reached.add(name)
                todo.append(name)
        reach[start] = reached
    return [
        {other for other in reach[module] if module in reach[other]}
        for module in graph
        if module in reach[module]
    ]


def test_no_modules_import_each_other() -> None:
    assert cycles() == [], "move what these modules share into a module below them"
