"""`make test-pythons`: run `make demo` and `make test` on every supported Python of this machine.

Each Python has a fresh copy of the project with an environment of its own.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.specifiers import SpecifierSet
from packaging.version import Version

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

ROOT = Path(__file__).parents[1]
TARGETS = ("demo", "test")
NAMED_LIKE_PYTHON = re.compile(r"python3(\.\d+)?")
# Fails where the modules that make an environment are missing, as on Debian without python3-venv.
ASK_VERSION = (
    "import ensurepip, platform, venv; "
    "print(platform.python_implementation(), platform.python_version())"
)
LAST_LINES = 30
# Variables that describe this program, that `make` exports to it, or that name a database.
DROPPED = (
    "ARGS",
    "DATABASE_URL",
    "MAKEFLAGS",
    "MAKELEVEL",
    "MFLAGS",
    "PYTHONHOME",
    "PYTHONPATH",
    "SOURCE",
    "VIRTUAL_ENV",
)


def supported() -> SpecifierSet:
    """Return the versions of Python that pyproject.toml allows."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return SpecifierSet(project["requires-python"])


def folders(environment: Mapping[str, str]) -> Iterator[Path]:
    """Yield the folders that can hold interpreters: those of the PATH, then pyenv's versions."""
    yield from map(Path, environment.get("PATH", os.defpath).split(os.pathsep))
    pyenv = Path(environment.get("PYENV_ROOT") or Path.home() / ".pyenv")
    yield from sorted(pyenv.glob("versions/*/bin"))


def interpreters(places: Iterable[Path], allowed: SpecifierSet) -> dict[Version, Path]:
    """Return one interpreter of each supported version that can make environments, oldest first."""
    programs: dict[Version, Path] = {}
    for place in places:
        for program in sorted(place.glob("python3*")):
            version = version_of(program) if NAMED_LIKE_PYTHON.fullmatch(program.name) else None
            if version is not None and version in allowed:
                programs.setdefault(version, program)
    return dict(sorted(programs.items()))


def version_of(program: Path) -> Version | None:
    """Return the version of a CPython that can make an environment; None for everything else."""
    try:
        answer = subprocess.run(
            [program, "-c", ASK_VERSION], capture_output=True, text=True, timeout=60, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    implementation, _, version = answer.stdout.strip().partition(" ")
    return Version(version) if answer.returncode == 0 and implementation == "CPython" else None


def copy_project(to: Path) -> None:
    """Copy what a commit of the working tree would contain: tracked files, and new ones."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():  # not deleted
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, to / name)


def run(program: Path, folder: Path, log: Path) -> str | None:
    """Run both commands in a new copy at `folder`; return the one that failed, or None."""
    copy_project(folder)
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in DROPPED and not name.startswith("RECOLLECT_")
    }
    for target in TARGETS:
        with log.open("a", encoding="utf-8") as output:
            finished = subprocess.run(
                ["make", target, f"INTERPRETER={program}"],
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                check=False,
            )
        if finished.returncode != 0:
            return f"make {target}"
    return None


def report(version: Version, program: Path, logs: Path) -> bool:
    """Run both commands on one Python and print the result; return whether both passed."""
    started = time.perf_counter()
    log = logs / f"python-{version}.log"
    with tempfile.TemporaryDirectory(
        prefix=f"recollect-python-{version}-", ignore_cleanup_errors=True
    ) as folder:
        failed = run(program, Path(folder), log)
    seconds = time.perf_counter() - started
    if failed is None:
        print(f"{version}  passed  {seconds:4.0f} s  {program}", flush=True)
        return True
    print(f"{version}  failed  {seconds:4.0f} s  {program}: {failed}, see {log}", flush=True)
    print(
        "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-LAST_LINES:]),
        file=sys.stderr,
    )
    return False


def main(prefixes: list[str]) -> int:
    """Run on every Python, or on the `wanted` versions; return 1 where a command failed."""
    programs = interpreters(folders(os.environ), supported())
    unmatched = [
        prefix for prefix in prefixes if not any(matches(version, prefix) for version in programs)
    ]
    if unmatched or not programs:
        missing = " or ".join(unmatched) or str(supported())
        print(
            f"no Python {missing} with its venv module on the PATH or in pyenv",
            file=sys.stderr,
        )
        return 1
    logs = Path(tempfile.mkdtemp(prefix="recollect-pythons-"))
    chosen = {
        version: program
        for version, program in programs.items()
        if not prefixes or any(matches(version, prefix) for prefix in prefixes)
    }
    passed = [report(version, program, logs) for version, program in chosen.items()]
    if all(passed):
        shutil.rmtree(logs)
    return 0 if all(passed) else 1


def matches(version: Version, prefix: str) -> bool:
    """Return whether a version is the one named or a release of it: 3.12.1 is a release of 3.12."""
    return f"{version}.".startswith(f"{prefix}.")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
