"""Which Pythons `make test-pythons` finds, and what it reports of each."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from tests import pythons

ALLOWED = SpecifierSet(">=3.11")


def program(folder: Path, name: str, *lines: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text("\n".join(("#!/bin/sh", *lines)) + "\n")
    path.chmod(0o755)
    return path


def test_this_python_is_found_under_its_own_version() -> None:
    here = Path(sys.executable)
    assert pythons.version_of(here) == Version(".".join(map(str, sys.version_info[:3])))


def test_one_interpreter_of_each_supported_version_is_found_wherever_it_is(tmp_path: Path) -> None:
    path, pyenv = tmp_path / "bin", tmp_path / "pyenv" / "versions" / "3.13.0" / "bin"
    program(path, "python3", "echo CPython 3.12.1")
    program(path, "python3.12", "echo CPython 3.12.1")
    program(path, "python3.9", "echo CPython 3.9.2")
    program(path, "python3.11", "echo CPython 3.11.7; exit 1")  # without venv
    program(path, "python3.10", "exit 127")  # a shim of pyenv for a version that is not active
    program(path, "python3-config", "echo CPython 3.14.0")
    program(pyenv, "python3.13", "echo CPython 3.13.0")
    program(pyenv, "python3", "echo PyPy 3.11.0")
    places = pythons.folders({"PATH": str(path), "PYENV_ROOT": str(tmp_path / "pyenv")})
    programs = pythons.interpreters(places, ALLOWED)
    assert programs == {
        Version("3.12.1"): path / "python3",
        Version("3.13.0"): pyenv / "python3.13",
    }


def test_the_supported_versions_are_those_of_the_project() -> None:
    assert Version("3.11.0") in pythons.supported()
    assert Version("3.10.13") not in pythons.supported()


@pytest.mark.parametrize(
    ("prefix", "expected"), [("3.1", False), ("3.12", True), ("3.12.1", True), ("3.12.10", False)]
)
def test_a_version_is_chosen_by_its_first_numbers(prefix: str, expected: bool) -> None:
    assert pythons.matches(Version("3.12.1"), prefix) is expected


def test_the_copy_has_new_files_and_no_ignored_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, copy = tmp_path / "root", tmp_path / "copy"
    for name in ("tracked", "deleted", "tests/new", "ignored"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    (root / ".gitignore").write_text("ignored")
    subprocess.run(["git", "init", "--quiet", str(root)], check=True)
    subprocess.run(["git", "-C", str(root), "add", "tracked", "deleted"], check=True)
    (root / "deleted").unlink()
    monkeypatch.setattr(pythons, "ROOT", root)
    pythons.copy_project(copy)
    files = {path.relative_to(copy).as_posix() for path in copy.rglob("*") if path.is_file()}
    assert files == {".gitignore", "tracked", "tests/new"}
    assert (copy / "tests" / "new").read_text() == "tests/new"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose two commands run the interpreter that they were given."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(
        pythons,
        "copy_project",
        lambda to: (to / "Makefile").write_text("demo test:\n\t@$(INTERPRETER) $@ $(ARGS)\n"),
    )
    monkeypatch.setattr(pythons, "supported", lambda: ALLOWED)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    monkeypatch.setenv("ARGS", "as make exports it")
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "no-pyenv"))
    return tmp_path


def interpreter(folder: Path, name: str, version: str, target_that_fails: str = "none") -> None:
    answer = f"-c) echo CPython {version} ;;"
    failure = f"{target_that_fails}) echo broken; exit 3 ;;"
    says = f'case "$1" in {answer} {failure} *) exit $(($# - 1)) ;; esac'
    program(folder / "bin", name, says)


def test_each_python_has_a_line_and_nothing_is_left_behind(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    interpreter(project, "python3.12", "3.99.1")
    interpreter(project, "python3.13", "3.99.2")
    assert pythons.main(["3.99"]) == 0
    lines = [line.split()[:2] for line in capsys.readouterr().out.splitlines()]
    assert lines == [["3.99.1", "passed"], ["3.99.2", "passed"]]
    assert [path.name for path in project.iterdir()] == ["bin"]


@pytest.mark.parametrize("target", ["demo", "test"])
def test_one_failure_fails_the_whole_and_the_others_still_run(
    project: Path, capsys: pytest.CaptureFixture[str], target: str
) -> None:
    interpreter(project, "python3.12", "3.99.1", target)
    interpreter(project, "python3.13", "3.99.2")
    assert pythons.main(["3.99"]) == 1
    output = capsys.readouterr()
    failed, passed = output.out.splitlines()
    assert (failed.split()[:2], passed.split()[:2]) == (["3.99.1", "failed"], ["3.99.2", "passed"])
    assert f"make {target}, see " in failed
    assert "broken" in Path(failed.rpartition(" ")[2]).read_text()
    assert "broken" in output.err


def test_a_version_that_is_not_there_fails(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    interpreter(project, "python3.12", "3.99.1")
    assert pythons.main(["3.98"]) == 1
    assert "no Python 3.98 " in capsys.readouterr().err
