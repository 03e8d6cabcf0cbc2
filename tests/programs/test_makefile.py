"""The Makefile, with a stand-in Python that creates no environment, and the pins."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PINS = (ROOT / "requirements" / "dev.txt").read_text().splitlines()
TARGETS = {
    "bench": "python -m bench.judging",
    "bench-quick": "python -m bench --quick",
    "check-mypy": "python -m mypy --no-error-summary",
    "check-pyright": "python -m pyright --warnings --project pyproject.toml"
    " --pythonpath .venv/bin/python",
    "db-down": "recollect db down",
    "db-reset": "recollect db reset",
    "db-up": "recollect db up",
    "db-url": "recollect db url",
    "demo": "recollect demo",
    "docs": "python -m tests.docs.reference",
    "faults": "python -m tests.faults",
    "fmt": "python -m ruff format --quiet",
    "migrate": "recollect db migrate",
    "rollback": "recollect db rollback",
    "test-lowest": "python -m tests.lowest",
    "test-pythons": "python -m tests.pythons",
}
PYTHONS = ("python3.13", "python3.12", "python3.11", "python3", "python")

STAND_IN = r"""#!/bin/sh
{ printf '%s' "${0##*/}"; printf '\t%s' "$@"; echo; } >> "$STAND_IN_LOG"
case "$*" in
  *ensurepip*) exit "$STAND_IN_UNSUITABLE" ;;
  "-m venv "*)
    mkdir -p "$3/bin"
    for name in python recollect shellcheck; do cp "$0" "$3/bin/$name"; done ;;
  *" install "*) [ ! -e "$STAND_IN_LOG.broken" ] ;;
esac
"""


class Clone:
    """A fresh clone with the Makefile and the pins; every Python on the PATH logs its arguments."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "clone"
        self.log = folder / "log"
        self.unsuitable = 0
        self.broken = folder / "log.broken"
        (self.folder / "requirements").mkdir(parents=True)
        (folder / "bin").mkdir()
        for file in ("Makefile", "pyproject.toml", "requirements/dev.txt"):
            shutil.copy(ROOT / file, self.folder / file)
        for name in PYTHONS:
            program = folder / "bin" / name
            program.write_text(STAND_IN)
            program.chmod(0o755)
        self.path = f"{folder / 'bin'}{os.pathsep}/usr/bin{os.pathsep}/bin"

    def make(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        self.log.write_text("")
        variables = {
            "STAND_IN_LOG": str(self.log),
            "STAND_IN_UNSUITABLE": str(self.unsuitable),
            "PATH": self.path,
            **environment,
        }
        command = ["make", *arguments]
        return subprocess.run(
            command,
            cwd=self.folder,
            env=variables,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            stdin=subprocess.DEVNULL,
        )

    def calls(self) -> list[list[str]]:
        return [line.split("\t") for line in self.log.read_text().splitlines()]

    def environments_created(self) -> list[str]:
        return [call[0] for call in self.calls() if call[1:3] == ["-m", "venv"]]

    def installs(self) -> int:
        return sum("install" in call for call in self.calls())


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    return Clone(tmp_path)


def test_make_without_a_target_lists_every_target(clone: Clone) -> None:
    finished = clone.make()
    assert finished.returncode == 0
    listed = [line.split()[0] for line in finished.stdout.splitlines()]
    makefile = (ROOT / "Makefile").read_text()
    assert sorted(listed) == sorted(re.findall(r"^\.PHONY: (.+)$", makefile, re.MULTILINE))
    assert {
        *TARGETS,
        "test",
        "test-quick",
        "soak",
        "growth",
        "growth-long",
        "check",
        "docs",
        "revision",
        "lock",
        "clean",
        "help",
    } == set(listed)
    assert clone.calls() == []


@pytest.mark.parametrize(("target", "command"), TARGETS.items())
def test_a_target_creates_the_environment_and_runs_its_command(
    clone: Clone, target: str, command: str
) -> None:
    finished = clone.make(target)
    assert finished.returncode == 0, finished.stderr
    assert " ".join(clone.calls()[-1]) == command
    assert len(clone.environments_created()) == 1
    assert finished.stdout == ""


def test_the_environment_is_created_once(clone: Clone) -> None:
    clone.make("migrate")
    clone.make("db-url")
    assert clone.environments_created() == []
    assert clone.installs() == 0


def test_parallel_targets_share_one_environment(clone: Clone) -> None:
    assert clone.make("--jobs=4", "check", "test", "migrate").returncode == 0
    assert len(clone.environments_created()) == 1


def test_a_failed_installation_starts_again_from_nothing(clone: Clone) -> None:
    clone.broken.touch()
    assert clone.make("migrate").returncode != 0
    assert all(call[0] != "recollect" for call in clone.calls())
    remains = clone.folder / ".venv" / "half-written"
    remains.touch()
    clone.broken.unlink()
    assert clone.make("migrate").returncode == 0
    assert len(clone.environments_created()) == 1
    assert not remains.exists()


def test_an_environment_without_its_python_is_created_again(clone: Clone) -> None:
    clone.make("migrate")
    (clone.folder / ".venv" / ".ready").unlink()
    (clone.folder / ".venv" / "bin" / "python").unlink()
    assert clone.make("migrate").returncode == 0
    assert len(clone.environments_created()) == 1


@pytest.mark.parametrize("changed", ["requirements/dev.txt", "pyproject.toml"])
def test_a_changed_pin_is_installed_into_the_existing_environment(
    clone: Clone, changed: str
) -> None:
    clone.make("migrate")
    ready = (clone.folder / ".venv" / ".ready").stat().st_mtime
    os.utime(clone.folder / changed, (ready + 5, ready + 5))
    clone.make("migrate")
    assert clone.environments_created() == []
    assert clone.installs() == 2


def test_the_newest_supported_python_creates_the_environment(clone: Clone) -> None:
    clone.make("migrate")
    assert clone.environments_created() == ["python3.13"]
    shutil.rmtree(clone.folder / ".venv")
    for absent in ("python3.13", "python3.12", "python3.11"):
        program = clone.folder.parent / "bin" / absent
        program.write_text("#!/bin/sh\nexit 127\n")
    clone.make("migrate")
    assert clone.environments_created() == ["python3"]


def test_the_python_of_the_environment_can_be_chosen(clone: Clone) -> None:
    clone.make("migrate", "INTERPRETER=python3.12")
    assert clone.environments_created() == ["python3.12"]


def test_without_a_suitable_python_the_error_names_it_and_the_next_run_can_succeed(
    clone: Clone,
) -> None:
    clone.unsuitable = 1
    finished = clone.make("migrate", chosen="python3")
    assert finished.returncode != 0
    assert "install Python 3.11 or newer with its venv module" in finished.stderr
    assert clone.environments_created() == []
    clone.unsuitable = 0
    assert clone.make("migrate").returncode == 0


def test_a_source_and_a_message_reach_the_command_unchanged(clone: Clone) -> None:
    source = "a folder; echo 'x'"
    clone.make("demo", f"SOURCE={source}")
    assert clone.calls()[-1] == ["recollect", "demo", "--source", source]
    message = 'add "notes" & `more`; it\'s time'
    clone.make("revision", f"m={message}")
    assert clone.calls()[-1] == ["recollect", "db", "revision", "-m", message]


def test_reset_and_rollback_pass_yes_on(clone: Clone) -> None:
    clone.make("db-reset", "yes=1")
    assert clone.calls()[-1] == ["recollect", "db", "reset", "--yes"]
    clone.make("rollback", "yes=1")
    assert clone.calls()[-1] == ["recollect", "db", "rollback", "--yes"]


def test_a_revision_needs_a_message(clone: Clone) -> None:
    finished = clone.make("revision")
    assert finished.returncode != 0
    assert 'make revision m="what it changes"' in finished.stderr
    assert all(call[0] != "recollect" for call in clone.calls())


def test_check_runs_every_tool_and_test_passes_arguments_on(clone: Clone) -> None:
    assert clone.make("check").returncode == 0
    commands = [" ".join(call[:4]) for call in clone.calls()]
    for tool in ("ruff check", "ruff format", "mypy", "pyright", "pip check"):
        assert any(tool in command for command in commands)
    assert ["recollect", "db", "check", "--embedded"] in clone.calls()
    clone.make("test", "ARGS=-k 'one or two'")
    assert clone.calls()[-1][-2:] == ["-k", "one or two"]


def test_clean_removes_the_environment_and_keeps_the_data(clone: Clone) -> None:
    clone.make("migrate")
    (clone.folder / ".data").mkdir()
    assert clone.make("clean").returncode == 0
    assert not (clone.folder / ".venv").exists()
    assert (clone.folder / ".data").exists()


def test_every_pin_is_a_name_and_one_version() -> None:
    assert len(PINS) > 50
    for line in PINS:
        assert re.fullmatch(r"[a-z0-9-]+==[0-9][a-z0-9.]*( ; [a-z_]+ .+)?", line), line
        assert "://" not in line


def test_the_pins_satisfy_the_requirements() -> None:
    pinned = {canonicalize_name(pin.name): pin for pin in map(Requirement, PINS)}
    requirements = [
        *PROJECT["dependencies"],
        *(line for extra in PROJECT["optional-dependencies"].values() for line in extra),
    ]
    for requirement in map(Requirement, requirements):
        if requirement.name == PROJECT["name"]:
            continue
        (specifier,) = pinned[canonicalize_name(requirement.name)].specifier
        assert requirement.specifier.contains(specifier.version), requirement.name
