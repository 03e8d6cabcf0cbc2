"""Commands import only what they need, so that they start at once; completion works."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from repositories.cli.targets import NAMES_A_DATABASE

ROOT = Path(__file__).parents[2]

PROGRAM = """
import sys
from repositories.cli import main
try:
    main()
except SystemExit:
    pass
print("modules:", *{name.partition(".")[0] for name in sys.modules}, file=sys.stderr, sep="\\n")
"""

PARSER = {
    *("typer", "shellingham", "colorama", "annotated_doc", "click"),
    *("pydantic", "pydantic_core", "typing_extensions", "typing_inspection", "annotated_types"),
}
"""Typer, and what it imports to parse arguments."""

OWN = {"__main__", "domain", "repositories", "__editable___recollect_finder"}


def imported(folder: Path, *arguments: str) -> set[str]:
    """Return the packages outside of the standard library that a command imports."""
    variables = {**os.environ, **dict.fromkeys(NAMES_A_DATABASE, ""), "PATH": str(folder)}
    finished = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments],
        cwd=folder,
        env={**variables, "PYTHONPATH": str(ROOT), "PYTHONNOUSERSITE": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    lines = finished.stderr.split("modules:")[1].splitlines()
    packages = {line for line in lines if line and not line.startswith("_sysconfigdata")}
    assert "repositories" in packages
    return packages - sys.stdlib_module_names - OWN - site_modules(folder)


def site_modules(folder: Path) -> set[str]:
    """Return what every Python program of this environment imports."""
    command = [sys.executable, "-c", "import sys; print(*sys.modules, sep='\\n')"]
    listed = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=60, check=True
    )
    return {name.partition(".")[0] for name in listed.stdout.split()}


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["--version"],
        ["db", "--help"],
        ["db", "url"],
        ["db", "down"],
        ["db", "migrate", "--help"],
        ["demo", "--help"],
        ["eval", "--help"],
    ],
    ids=" ".join,
)
def test_a_command_without_a_database_imports_no_library_of_the_database(
    arguments: list[str], tmp_path: Path
) -> None:
    assert imported(tmp_path, *arguments) <= PARSER


def completions(folder: Path, words: str, position: int) -> list[str]:
    """Return what Bash would offer for the last of the words."""
    finished = subprocess.run(
        [sys.executable, "-c", "import sys; sys.argv[0] = 'recollect'\n" + PROGRAM],
        cwd=folder,
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "_RECOLLECT_COMPLETE": "complete_bash",
            "COMP_WORDS": words,
            "COMP_CWORD": str(position),
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return finished.stdout.split()


def test_the_shell_completes_commands_and_options(tmp_path: Path) -> None:
    assert completions(tmp_path, "recollect d", 1) == ["doctor", "demo", "db"]
    assert completions(tmp_path, "recollect db mi", 2) == ["migrate"]
    assert completions(tmp_path, "recollect db migrate --u", 3) == ["--url"]


def test_the_program_prints_its_completion_script(tmp_path: Path) -> None:
    # The program asks which shell runs it. With a second command, the shell stays its parent.
    command = f"{shlex.quote(sys.executable)} -m repositories.cli --show-completion && true"
    finished = subprocess.run(
        ["bash", "-c", command],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    assert "complete_bash" in finished.stdout
