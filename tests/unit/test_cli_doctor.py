"""`recollect doctor` examines the environment, and prints no secrets."""

from __future__ import annotations

import json
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


def named(name: str, diagnoses: list[doctor.Diagnosis]) -> doctor.Diagnosis:
    (diagnosis,) = [one for one in diagnoses if one.name == name]
    return diagnosis


def test_the_environment_of_these_tests_has_no_problem() -> None:
    diagnoses = list(doctor.environment(Path(".data")))
    assert not any(diagnosis.problem for diagnosis in diagnoses)
    assert named("extra testing", diagnoses).observation == "installed"
    assert "asyncpg" in named("packages", diagnoses).observation


def test_a_full_disk_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(2**40, 2**40, 2**20))
    disk = named("disk", list(doctor.environment(Path(".data"))))
    assert disk.problem
    assert "free at least 1 GiB" in disk.observation


def test_a_missing_extra_is_not_a_problem_and_the_advice_names_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(doctor, "EXTRAS", {"demo": ("no_such_module_anywhere",)})
    extra = named("extra demo", list(doctor.environment(Path(".data"))))
    assert not extra.problem
    assert "pip install 'recollect[demo]'" in extra.observation


def test_the_doctor_asks_docker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compose, "docker_answers", lambda: True)
    assert named("Docker", list(doctor.environment(Path(".data")))).observation == "answers"


def test_settings_are_named_without_their_values(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECOLLECT_PASSWORD", "hunter2")
    monkeypatch.setenv("DATABASE_URL", "postgresql://localhost/secretly")
    (diagnosis,) = doctor.settings()
    assert diagnosis.observation == "DATABASE_URL, RECOLLECT_PASSWORD"
    monkeypatch.setenv("RECOLLECT_POOL_SIZE", "hunter2")
    (diagnosis,) = doctor.settings()
    assert diagnosis.problem
    assert "pool_size" in diagnosis.observation
    assert "hunter2" not in diagnosis.observation


def test_a_missing_database_is_a_problem() -> None:
    result = CliRunner().invoke(app, ["doctor"])
    assert result.exit_code == 1
    assert "recollect db up" in result.stdout
    assert result.stderr == ""


def test_another_package_named_domain_is_shown_with_its_path(tmp_path: Path) -> None:
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


def test_the_package_domain_is_shown_with_its_path() -> None:
    path = Path(__file__).parents[2] / "domain" / "__init__.py"
    assert named("package domain", list(doctor.environment(Path(".data")))).observation == str(path)


def test_json_has_the_same_diagnoses() -> None:
    result = CliRunner().invoke(app, ["doctor", "--json"])
    report = json.loads(result.stdout)
    assert (result.exit_code, report["healthy"]) == (1, False)
    problems = [diagnosis for diagnosis in report["diagnoses"] if diagnosis["problem"]]
    assert [problem["name"] for problem in problems] == ["database"]
    assert "recollect db up" in problems[0]["observation"]
