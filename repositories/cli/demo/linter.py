"""The linter: ruff, in a process of its own."""

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
from repositories.cli.sanitizing import storable

LIMIT_SECONDS: Final = 120.0
# No configuration and no cache in the source. Ignore files are not read either: from Python 3.13
# on, `venv` writes a `.gitignore` with `*` into the environment, which covers every package in it.
_ISOLATED: Final = ("check", "--isolated", "--no-cache", "--no-respect-gitignore", "--quiet")


class LinterFailed(RecollectError):
    """The linter failed; the message contains its own reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """A violation of a rule; `suppressed` means that a comment in the source suppresses it."""

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
    """The violations of one run of the linter, and its duration in milliseconds."""

    linter: str
    violations: tuple[Violation, ...]
    duration_ms: int


def require_linter() -> None:
    """Raise ConfigurationError if the linter is not installed."""
    if find_spec("ruff") is None:
        raise ConfigurationError("the demo needs its extra: pip install 'recollect[demo]'")


def python_files(root: Path) -> tuple[Path, ...]:
    """Return the Python files that the linter reads under `root`, sorted.

    Ignore files have no effect. Folders such as `.venv` and `.git` are left out below `root`;
    `root` itself is always read. Files whose names are not
    UTF-8 are left out as well: ruff writes other names.

    Raises:
        ConfigurationError: The linter is not installed.
        LinterFailed: It failed.
    """
    paths = map(Path, _ruff(*_ISOLATED, "--show-files", str(root)).splitlines())
    return tuple(sorted(path for path in paths if path.suffix == ".py" and path.is_file()))


def lint(root: Path) -> LintReport:
    """Lint the files under `root`.

    The linter runs once with the suppressions of the source and once without them. Only the second
    run reports the violations that are suppressed.

    Raises:
        ConfigurationError: The linter is not installed.
        LinterFailed: It failed.
    """
    started = time.perf_counter()
    arguments = (
        *_ISOLATED,
        "--exit-zero",
        "--output-format",
        "json",
        "--select",
        ",".join(SELECTED),
    )
    active = {_location(record) for record in json.loads(_ruff(*arguments, str(root)))}
    records = json.loads(_ruff(*arguments, "--ignore-noqa", str(root)))
    violations = tuple(
        _violation(record, suppressed=_location(record) not in active)
        for record in records
        if Path(record["filename"]).is_file()
    )
    elapsed = round((time.perf_counter() - started) * 1000)
    return LintReport(linter=_ruff("--version").strip(), violations=violations, duration_ms=elapsed)


def _ruff(*arguments: str) -> str:
    require_linter()
    command = [sys.executable, "-m", "ruff", *arguments]
    try:
        process = subprocess.run(
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
    if process.returncode != 0:
        lines = process.stderr.strip().splitlines() or [f"exit code {process.returncode}"]
        raise LinterFailed(f"ruff failed: {lines[0]}")
    return process.stdout


def _location(record: dict[str, Any]) -> tuple[str | None, str, int, int]:
    location = record["location"]
    return record["code"], record["filename"], location["row"], location["column"]


def _violation(record: dict[str, Any], *, suppressed: bool) -> Violation:
    code = record["code"] or UNPARSABLE
    line = max(1, record["location"]["row"])
    return Violation(
        code=code,
        name=storable(record.get("name") or code),
        message=storable(record["message"]),
        path=Path(record["filename"]),
        line=line,
        last_line=max(line, record["end_location"]["row"]),
        repair=(record["fix"] or {}).get("applicability"),
        suppressed=suppressed,
    )
