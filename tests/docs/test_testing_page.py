"""The suites of docs/howto/testing.md, with nothing that the extra `testing` does not bring."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import distribution, packages_distributions
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.docs.pages import DOCS, blocks

PAGE = DOCS / "howto" / "testing.md"

# Installed packages outside the extra can neither be imported nor bring plugins.
PROGRAM = """
import json, sys
from importlib import metadata
from importlib.machinery import PathFinder
from packaging.utils import canonicalize_name
hidden, allowed = map(set, json.load(open("installed.json")))
find, distributions = PathFinder.find_spec, metadata.distributions
PathFinder.find_spec = classmethod(
    lambda _, name, *place: None if name.partition(".")[0] in hidden else find(name, *place)
)
metadata.distributions = lambda **context: (
    one for one in distributions(**context) if canonicalize_name(one.metadata["Name"]) in allowed
)
import pytest
sys.exit(pytest.main(sys.argv[1:]))
"""


def brought_by(requirement: Requirement) -> set[str]:
    """Return the installed distributions that the requirement and its requirements name."""
    visited: set[tuple[str, frozenset[str]]] = set()
    left = [requirement]
    while left:
        current = left.pop()
        key = (canonicalize_name(current.name), frozenset(current.extras))
        if key in visited:
            continue
        visited.add(key)
        extras = current.extras or {""}
        for line in distribution(current.name).requires or []:
            needed = Requirement(line)
            if needed.marker is None or any(needed.marker.evaluate({"extra": e}) for e in extras):
                left.append(needed)
    return {name for name, _ in visited}


def test_the_extra_brings_what_its_documentation_uses_and_no_more() -> None:
    brought = brought_by(Requirement("recollect[testing]"))
    assert {"pytest", "pytest-asyncio", "snowballstemmer", "filelock", "psutil"} <= brought
    assert {"pytest-xdist", "typer", "rich", "ruff", "fastapi"} & brought == set()


def test_the_suites_of_the_page_pass_with_the_extra_alone(tmp_path: Path) -> None:
    brought = brought_by(Requirement("recollect[testing]"))
    hidden = {
        module
        for module, owners in packages_distributions().items()
        if not brought & {canonicalize_name(owner) for owner in owners}
    } - {"domain", "recollect_pytest", "repositories"}
    assert {"xdist", "typer", "rich"} <= hidden
    (tmp_path / "installed.json").write_text(json.dumps([sorted(hidden), sorted(brought)]))
    settings = "".join(block.text for block in blocks(PAGE) if block.language == "toml")
    (tmp_path / "pyproject.toml").write_text(settings)
    for block in blocks(PAGE):
        if block.is_suite:
            (tmp_path / f"test_line_{block.line}.py").write_text(block.text)
    command = [sys.executable, "-c", PROGRAM, "-q", "-W", "error", "--basetemp", "temporary"]
    ran = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, timeout=240, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert " passed" in ran.stdout
