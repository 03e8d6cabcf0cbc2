"""The documentation's examples run as they are written."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def programs() -> list[tuple[str, str]]:
    """Every Python block that is a whole program: it imports what it uses and runs something."""
    return [
        (f"{page.name}:{page.read_text()[: block.start()].count(chr(10)) + 1}", block.group(1))
        for page in PAGES
        for block in re.finditer(r"```python\n(.*?)```", page.read_text(), re.DOTALL)
        if "asyncio.run(" in block.group(1)
    ]


@pytest.mark.parametrize(("place", "program"), programs(), ids=[place for place, _ in programs()])
def test_a_program_in_the_documentation_runs_as_written(place: str, program: str, tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(program)
    ran = subprocess.run(
        [sys.executable, "-W", "error", "program.py"], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    assert (ran.returncode, ran.stderr) == (0, ""), place
    assert ran.stdout.strip()


def test_the_documentation_links_to_what_exists() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_the_readme_has_a_program() -> None:
    assert any(place.startswith("README.md") for place, _ in programs())
