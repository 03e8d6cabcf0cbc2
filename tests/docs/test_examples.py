"""The documentation's examples run as they are written."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from domain import Review
from repositories import Database
from tests.docs import programs
from tests.docs.consoles import Command, commands, matches, run
from tests.docs.pages import DOCS, PAGES, ROOT, Block, all_blocks, blocks
from tests.integration.migrations.support import as_superuser

TUTORIAL = DOCS / "tutorial.md"
"""It uses the embedded server that its own programs start."""

TESTING = DOCS / "howto" / "testing.md"
"""`test_testing_page.py` runs its suites, with the extra `testing` alone."""

SHOWN = {"text", "sql", "ini"}
"""Languages of blocks that show something and are not run."""

NOT_RUN = re.compile(
    r"(make|recollect eval|pip install|python -m (bench|pytest|tests|venv)|\. "
    r"\.venv|uvicorn|git|pytest)\b"
)
"""Commands of `sh` blocks: they set up a machine, or run for minutes."""

PROGRAMS = [block for block in all_blocks() if block.is_program]
SUITES = sorted({block.page for block in all_blocks() if block.is_suite} - {TESTING})

CONSOLES = sorted({block.page for block in all_blocks() if block.language == "console"})


_SERVER = re.compile(r'Database\.embedded\("([\w./]+)", embedding_dimensions=3\)')


def in_tests(text: str, place: str) -> str:
    """Return the text with its place, for the message of a test that fails."""
    return f"{place}\n{text}"


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.fixture(scope="module")
def server_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an embedded server with a migrated and empty database, stopped."""
    folder = tmp_path_factory.mktemp("programs") / "server"

    async def open_once() -> None:
        async with Database.embedded(folder, embedding_dimensions=3):
            pass

    asyncio.run(open_once())
    return folder


@pytest.mark.parametrize("block", PROGRAMS, ids=lambda block: block.place)
def test_a_program_runs_as_written(block: Block, server_folder: Path, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(block.text)
    # The program of the README starts Python and creates its server, as every one does the first
    # time it runs.
    if block.page.name == "README.md":
        ran = subprocess.run(
            [sys.executable, "-W", "error", "program.py"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=programs.TIMEOUT,
            check=False,
        )
    else:
        if server := _SERVER.search(block.text):
            (tmp_path / server[1]).parent.mkdir(parents=True)
            subprocess.run(["cp", "-a", server_folder, tmp_path / server[1]], check=True)
        ran = programs.run(program)
    assert (ran.returncode, ran.stderr) == (0, ""), block.place
    expected = output_below(block)
    if expected is None:
        assert ran.stdout.strip()
    else:
        assert matches(expected, ran.stdout.strip("\n")), in_tests(ran.stdout, block.place)


def output_below(program: Block) -> str | None:
    """Return the `text` block that follows a program on its page, which is its output."""
    own = blocks(program.page)
    following = own[own.index(program) + 1 :][:1]
    return next((each.text.strip("\n") for each in following if each.language == "text"), None)


@pytest.mark.parametrize("page", SUITES, ids=name_of)
def test_the_tests_of_a_page_pass_as_written(page: Path, tmp_path: Path) -> None:
    modules = {f"test_line_{each.line}.py": each.text for each in blocks(page) if each.is_suite}
    for name, source in modules.items():
        (tmp_path / name).write_text(source)
    settings = "".join(each.text for each in blocks(page) if each.language == "toml")
    (tmp_path / "pyproject.toml").write_text(settings)
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-v", "-W", "error", "--basetemp", str(tmp_path / "tmp")],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert all(name in ran.stdout for name in modules)


async def add_review(url: SecretStr) -> None:
    async with Database.from_url(url) as database, database.unit_of_work(tenant="acme") as uow:
        uow.reviews.add(Review(repo="acme/api", pr_number=7))
        await uow.commit()


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment of the commands: a migrated database with one review of the tenant acme."""
    from repositories.testing.servers import TestServer

    server = TestServer(tmp_path_factory.mktemp("docs"), version=18)
    own, url = Path(sys.executable).parent, server.clone()
    asyncio.run(add_review(url))
    yield {
        **{name: value for name, value in os.environ.items() if not name.startswith("RECOLLECT_")},
        "DATABASE_URL": url.get_secret_value(),
        "SUPERUSER_URL": as_superuser(server, url).get_secret_value(),
        "PATH": f"{own}{os.pathsep}{os.environ['PATH']}",
        "PYTHONUTF8": "1",
        "COLUMNS": "120",
    }
    server.close()


@pytest.mark.parametrize("page", CONSOLES, ids=name_of)
def test_the_commands_of_a_page_print_what_it_shows(
    page: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    if page == TUTORIAL:
        environment = {n: value for n, value in environment.items() if not n.endswith("_URL")}
    for block in blocks(page):
        if block.file is not None:
            (tmp_path / block.file).write_text(block.text)
        for command in commands(block.text) if block.language == "console" else ():
            output = run(command, folder=tmp_path, environment=environment)
            assert matches(command.output, output), f"{block.place}: {command.line}\n{output}"


@pytest.mark.parametrize("block", all_blocks(), ids=lambda block: block.place)
def test_every_block_is_run_or_only_shows_something(block: Block) -> None:
    if block.language == "python":
        assert block.is_program or block.is_suite or block.file is not None
    elif block.language == "sh":
        lines = block.text.replace("\\\n", "").splitlines()
        assert [line for line in lines if not NOT_RUN.match(line)] == []
    else:
        assert block.language in SHOWN | {"console", "toml"}


def test_the_documentation_links_to_what_exists() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_the_readme_has_a_program() -> None:
    assert any(block.page.name == "README.md" for block in PROGRAMS)


def test_a_program_that_fails_or_warns_is_seen(tmp_path: Path) -> None:
    failing = {
        "import sys; print('out'); sys.exit(3)": (3, "out\n", ""),
        "import warnings; warnings.warn('old')": (1, "", "UserWarning: old"),
        "open(__file__)": (0, "", "ResourceWarning: unclosed file"),
        "own = [open(__file__)]; own.append(own)": (0, "", "ResourceWarning: unclosed file"),
        "import os; os.system('echo from a child >&2')": (0, "", "from a child"),
        "undefined": (1, "", "name 'undefined' is not defined"),
    }
    for source, (code, out, err) in failing.items():
        (tmp_path / "program.py").write_text(source)
        ran = programs.run(tmp_path / "program.py")
        assert (ran.returncode, ran.stdout) == (code, out), source
        assert err in ran.stderr, source
        assert bool(err) is bool(ran.stderr), source


def test_output_is_compared_with_its_wildcards() -> None:
    [command] = commands("$ recollect db \\\n  status\none … rows\n…\nthe end\n")
    assert command == Command("recollect db status", "one … rows\n…\nthe end")
    assert matches(command.output, "one hundred rows\nand more\nand more\nthe end")
    assert matches(command.output, "one hundred rows\nthe end")
    assert not matches(command.output, "one hundred rows\nand more\nthe other end")
    assert not matches("exactly this", "exactly that")


def test_a_command_runs_in_its_folder(tmp_path: Path) -> None:
    command = Command("echo out; echo err >&2; pwd", "")
    output = run(command, folder=tmp_path, environment=dict(os.environ))
    assert output.splitlines() == ["out", "err", str(tmp_path)]
