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


@pytest.mark.parametrize("foreign", ["domain/__init__.py", "repositories/__init__.py", "domain.py"])
def test_another_package_of_the_same_name_is_shown_with_its_path(
    foreign: str, tmp_path: Path
) -> None:
    root = Path(__file__).parents[2]
    file = tmp_path / foreign
    file.parent.mkdir(exist_ok=True)
    file.touch()
    path = os.pathsep.join((str(tmp_path), str(root)))
    program = "from recollect_command import main; main()"
    command = [sys.executable, "-P", "-c", program, "doctor"]
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
        f"the package `{file.relative_to(tmp_path).parts[0].removesuffix('.py')}` that Python "
        f"imports is not Recollect's but {file}: "
        "rename it, or remove its folder from PYTHONPATH"
    ]


@pytest.mark.parametrize("name", ["domain", "repositories"])
def test_a_package_is_shown_with_its_path(name: str) -> None:
    path = Path(__file__).parents[2] / name / "__init__.py"
    diagnosis = named(f"package {name}", list(doctor.environment(Path(".data"))))
    assert (diagnosis.observation, diagnosis.problem) == (str(path), False)


@pytest.mark.parametrize(
    ("files", "advice"),
    [
        (["domain/__init__.py"], "programs that start in this folder import {folder}/domain "),
        (["domain.py"], "programs that start in this folder import {folder}/domain.py "),
        (["domain/users.py"], "instead of the folder {folder}/domain, which has no __init__.py"),
    ],
    ids=" ".join,
)
def test_a_package_of_the_same_name_in_the_current_folder_is_a_problem(
    files: list[str], advice: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for file in files:
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).touch()
    monkeypatch.chdir(tmp_path)
    diagnosis = named("package domain", list(doctor.environment(Path(".data"))))
    assert diagnosis.problem
    assert advice.format(folder=tmp_path) in diagnosis.observation


def test_another_distribution_with_the_same_package_is_a_problem(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(doctor, "packages_distributions", lambda: {"domain": ["recollect", "shop"]})
    diagnoses = list(doctor.environment(Path(".data")))
    assert "shop installs files into it" in named("package domain", diagnoses).observation
    assert named("package domain", diagnoses).problem
    assert not named("package repositories", diagnoses).problem


def test_a_package_that_was_overwritten_is_a_problem_after_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def overwritten() -> list[doctor.Diagnosis]:
        raise ImportError("cannot import name 'metadata' from 'domain'")

    monkeypatch.setattr(doctor, "settings", overwritten)
    result = CliRunner().invoke(app, ["doctor", "--json"])
    assert result.exit_code == 1
    diagnoses = json.loads(result.stdout)["diagnoses"]
    assert [one["name"] for one in diagnoses if one["problem"]] == ["packages"]
    assert "package domain" in {one["name"] for one in diagnoses}


def test_json_has_the_same_diagnoses() -> None:
    result = CliRunner().invoke(app, ["doctor", "--json"])
    report = json.loads(result.stdout)
    assert (result.exit_code, report["healthy"]) == (1, False)
    problems = [diagnosis for diagnosis in report["diagnoses"] if diagnosis["problem"]]
    assert [problem["name"] for problem in problems] == ["database"]
    assert "recollect db up" in problems[0]["observation"]
