"""What the doctor looks at, and what it keeps to itself."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
from typer.testing import CliRunner

from repositories.cli import compose, doctor
from repositories.cli.app import app

pytestmark = pytest.mark.usefixtures("bare")


class Usage(NamedTuple):
    total: int
    used: int
    free: int


def named(name: str, findings: list[doctor.Finding]) -> doctor.Finding:
    (found,) = [finding for finding in findings if finding.name == name]
    return found


def test_the_environment_is_fit_to_run_these_tests() -> None:
    findings = list(doctor.environment(Path(".data")))
    assert not any(finding.problem for finding in findings)
    assert named("extra testing", findings).fact == "installed"
    assert "asyncpg" in named("packages", findings).fact


def test_a_full_disk_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(2**40, 2**40, 2**20))
    disk = named("disk", list(doctor.environment(Path(".data"))))
    assert disk.problem
    assert "free at least 1 GiB" in disk.fact


def test_an_extra_that_is_missing_is_no_problem_and_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(doctor, "EXTRAS", {"demo": ("no_such_module_anywhere",)})
    extra = named("extra demo", list(doctor.environment(Path(".data"))))
    assert not extra.problem
    assert "pip install 'recollect[demo]'" in extra.fact


def test_docker_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compose, "docker_answers", lambda: True)
    assert named("Docker", list(doctor.environment(Path(".data")))).fact == "answers"


def test_settings_are_named_and_their_values_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECOLLECT_PASSWORD", "hunter2")
    monkeypatch.setenv("DATABASE_URL", "postgresql://localhost/secretly")
    (finding,) = doctor.settings()
    assert finding.fact == "DATABASE_URL, RECOLLECT_PASSWORD"
    monkeypatch.setenv("RECOLLECT_POOL_SIZE", "hunter2")
    (finding,) = doctor.settings()
    assert finding.problem
    assert "pool_size" in finding.fact
    assert "hunter2" not in finding.fact


def test_without_a_database_it_says_so_and_ends_with_1() -> None:
    result = CliRunner().invoke(app, ["doctor"])
    assert result.exit_code == 1
    assert "recollect db up" in result.stdout
    assert result.stderr == ""


def test_a_package_named_like_the_domain_is_shown_with_its_place(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    foreign = tmp_path / "application" / "domain" / "__init__.py"
    foreign.parent.mkdir(parents=True)
    foreign.touch()
    path = os.pathsep.join((str(foreign.parents[1]), str(root)))
    command = [sys.executable, "-m", "repositories.cli", "doctor"]
    finished = subprocess.run(
        command,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (finished.returncode, finished.stdout) == (1, "")
    assert finished.stderr.splitlines() == [
        f"the package `domain` that Python imports is not Recollect's but {foreign}: "
        "rename it, or remove its folder from PYTHONPATH"
    ]
