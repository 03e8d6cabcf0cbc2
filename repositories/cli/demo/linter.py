"""The linter: ruff, as a program of its own, over somebody else's source."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from domain.errors import ConfigurationError, RecollectError
from repositories.cli.demo.grades import SELECTED, UNPARSABLE
from repositories.cli.demo.sanitizing import storable

LIMIT_SECONDS: Final = 120.0
# No configuration and no cache in the source. Ignore files are not read either: from Python 3.13
# on, `venv` writes a `.gitignore` with `*` into the environment, which covers every package in it.
_ISOLATED: Final = ("check", "--isolated", "--no-cache", "--no-respect-gitignore", "--quiet")


class LinterFailed(RecollectError):
    """The linter did not do its work; the message has its own reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """One thing that the linter found.

    `suppressed` tells that a comment in the source holds it back.
    """

    code: str
    name: str
    message: str
    path: Path
    line: int
    last_line: int
    repair: str | None
    suppressed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class LintReport:
    """What one run of the linter gave, and how long it took in milliseconds."""

    linter: str
    violations: tuple[Violation, ...]
    duration_ms: int


def require_linter() -> None:
    """Raise ConfigurationError where the linter is not installed."""
    if find_spec("ruff") is None:
        raise ConfigurationError("the demo needs its extra: pip install 'recollect[demo]'")


def python_files(root: Path) -> tuple[Path, ...]:
    """Return the Python files that the linter reads under `root`, sorted.

    Ignore files have no effect. Folders such as `.venv` and `.git` are left out below `root`;
    `root` itself is always read.

    Raises:
        ConfigurationError: it is not installed.
        LinterFailed: it did not answer.
    """
    listed = _ruff(*_ISOLATED, "--show-files", str(root)).splitlines()
    return tuple(sorted(path for path in map(Path, listed) if path.suffix == ".py"))


def lint(root: Path) -> LintReport:
    """Lint what is under `root`, once as the source asks for and once without its suppressions; the
    difference is suppressed.

    Raises:
        ConfigurationError: the linter is not installed.
        LinterFailed: it did not answer.
    """
    started = time.perf_counter()
    asked = (*_ISOLATED, "--exit-zero", "--output-format", "json", "--select", ",".join(SELECTED))
    standing = {_place(found) for found in json.loads(_ruff(*asked, str(root)))}
    everything = json.loads(_ruff(*asked, "--ignore-noqa", str(root)))
    violations = tuple(
        _violation(found, suppressed=_place(found) not in standing) for found in everything
    )
    elapsed = round((time.perf_counter() - started) * 1000)
    return LintReport(linter=_ruff("--version").strip(), violations=violations, duration_ms=elapsed)


def _ruff(*arguments: str) -> str:
    require_linter()
    command = [sys.executable, "-m", "ruff", *arguments]
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=LIMIT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise LinterFailed(
            f"ruff did not finish within {LIMIT_SECONDS:g} s: name a smaller folder"
        ) from None
    if done.returncode != 0:
        raise LinterFailed(f"ruff says: {(done.stderr.strip().splitlines() or ['nothing'])[0]}")
    return done.stdout


def _place(found: dict[str, Any]) -> tuple[str | None, str, int, int]:
    return found["code"], found["filename"], found["location"]["row"], found["location"]["column"]


def _violation(found: dict[str, Any], *, suppressed: bool) -> Violation:
    code = found["code"] or UNPARSABLE
    line = max(1, found["location"]["row"])
    return Violation(
        code=code,
        name=storable(found.get("name") or code),
        message=storable(found["message"]),
        path=Path(found["filename"]),
        line=line,
        last_line=max(line, found["end_location"]["row"]),
        repair=(found["fix"] or {}).get("applicability"),
        suppressed=suppressed,
    )
