"""The documentation's examples run as they are written."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(page: Path, language: str) -> list[tuple[int, str]]:
    """Every block of the page in that language, and the line where it begins."""
    text = page.read_text()
    found = re.finditer(rf"```{language}\n(.*?)```", text, re.DOTALL)
    return [(text[: block.start()].count("\n") + 1, block.group(1)) for block in found]


def programs() -> list[tuple[str, str]]:
    """Every Python block that is a whole program: it imports what it uses and runs something."""
    found = [
        (f"{page.name}:{line}", source) for page in PAGES for line, source in blocks(page, "python")
    ]
    return [(place, source) for place, source in found if "asyncio.run(" in source]


def suites() -> dict[Path, dict[str, str]]:
    """The Python blocks of each page that are test modules, under names that tell the line."""
    found = {
        page: {
            f"test_line_{line}.py": source
            for line, source in blocks(page, "python")
            if is_suite(source)
        }
        for page in PAGES
    }
    return {page: modules for page, modules in found.items() if modules}


def is_suite(source: str) -> bool:
    return re.search(r"^(async )?def test_|^class Test", source, re.MULTILINE) is not None


@pytest.mark.parametrize(("place", "program"), programs(), ids=[place for place, _ in programs()])
def test_a_program_in_the_documentation_runs_as_written(
    place: str, program: str, tmp_path: Path
) -> None:
    (tmp_path / "program.py").write_text(program)
    ran = subprocess.run(
        [sys.executable, "-W", "error", "program.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (0, ""), place
    assert ran.stdout.strip()


@pytest.mark.parametrize("page", suites(), ids=lambda page: page.name)
def test_the_tests_in_the_documentation_pass_as_written(page: Path, tmp_path: Path) -> None:
    for name, source in suites()[page].items():
        (tmp_path / name).write_text(source)
    (tmp_path / "pyproject.toml").write_text("".join(source for _, source in blocks(page, "toml")))
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-v",
        "-W",
        "error",
        "--basetemp",
        str(tmp_path / "temporary"),
    ]
    ran = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, timeout=240, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert all(name in ran.stdout for name in suites()[page])


def test_every_python_block_of_the_page_on_testing_is_run() -> None:
    page = ROOT / "docs" / "howto" / "testing.md"
    assert len(suites()[page]) == len(blocks(page, "python")) >= 4


def test_the_documentation_links_to_what_exists() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_the_readme_has_a_program() -> None:
    assert any(place.startswith("README.md") for place, _ in programs())
