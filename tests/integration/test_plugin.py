"""The pytest plugin, in suites of its own that pytest runs as a user would."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import suppress
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import psutil
import pytest

pytest_plugins = ["pytester"]

CONFIGURATION = """
[pytest]
asyncio_mode = auto
asyncio_default_fixture_loop_scope = function
recollect_dimensions = 3
"""

FAKES = """
import sys
import pytest
from domain import Review

@pytest.mark.parametrize("again", range(3))
async def test_is_empty_each_time(fake_uow, again):
    assert await fake_uow.reviews.count() == 0
    fake_uow.reviews.add(Review(repo="acme/api", pr_number=7))
    await fake_uow.commit()

async def test_unit_and_database_are_one(fake_database, fake_uow):
    fake_uow.reviews.add(Review(repo="acme/api", pr_number=7))
    await fake_uow.commit()
    async with fake_database.reader() as view:
        assert await view.reviews.count() == 1

def test_has_the_dimension_of_the_configuration(fake_database):
    assert fake_database.dimensions == 3

def test_no_driver_was_imported():
    assert "asyncpg" not in sys.modules
"""

POSTGRES = """
import json
import pytest
from pathlib import Path
from sqlalchemy import text
from domain import where
from repositories.testing.factories import LearningMemoryFactory, review_with_findings

@pytest.mark.parametrize("again", range(3))
async def test_is_empty_each_time(recollect_database, recollect_uow, again):
    assert await recollect_uow.findings.count() == await recollect_uow.memories.count() == 0
    assert (await recollect_uow.embedding_metadata.get()).model == "unspecified"
    graph = review_with_findings()
    graph.add_to(recollect_uow)
    recollect_uow.memories.add(LearningMemoryFactory.build(finding=graph.findings[0]))
    await recollect_uow.embedding_metadata.set(provider="mine", model="own", dimensions=3)
    await recollect_uow.commit()
    async with recollect_database.reader(tenant="default") as view:
        assert await view.findings.count(where("review_id").equals(graph.review.id)) == 3

async def test_what_is_not_committed_is_discarded(recollect_uow):
    review_with_findings().add_to(recollect_uow)
    await recollect_uow.flush()

async def test_and_is_not_there_afterwards(recollect_uow):
    assert await recollect_uow.findings.count() == 0

async def test_tells_where_it_ran(recollect_server, recollect_database, request):
    async with recollect_database.engine.connect() as connection:
        name = await connection.scalar(text("SELECT current_database()"))
        version = connection.dialect.server_version_info[0]
    server = recollect_server.server
    worker = getattr(request.config, "workerinput", {}).get("workerid", "alone")
    told = {"database": name, "pid": server.pid, "folder": str(server.data_dir), "version": version}
    Path(f"told-{worker}.json").write_text(json.dumps(told))
"""


def told_by(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in sorted(folder.glob("told-*.json"))]


def assert_gone(server: dict[str, Any]) -> None:
    with suppress(psutil.NoSuchProcess):
        # Dead; who adopted it may not have noticed yet.
        assert psutil.Process(server["pid"]).status() == psutil.STATUS_ZOMBIE
    assert not Path(server["folder"]).exists()


def run(pytester: pytest.Pytester, suite: str, *arguments: str) -> pytest.RunResult:
    pytester.makeini(CONFIGURATION)
    pytester.makepyfile(suite)
    return pytester.runpytest_subprocess("-q", "-W", "error", *arguments, timeout=180)


def test_the_plugin_is_found_by_its_entry_point() -> None:
    assert [point.value for point in entry_points(group="pytest11", name="recollect")] == [
        "recollect_pytest"
    ]


def test_fakes_are_empty_for_each_test_and_need_no_driver(pytester: pytest.Pytester) -> None:
    run(pytester, FAKES).assert_outcomes(passed=6)


def test_two_workers_share_one_server_and_empty_a_database_each(pytester: pytest.Pytester) -> None:
    # `each` makes both of them run everything.
    run(pytester, POSTGRES, "-n", "2", "--dist", "each").assert_outcomes(passed=12)
    one, other = told_by(pytester.path)
    assert one["database"] != other["database"]
    assert (one["pid"], one["folder"], one["version"]) == (other["pid"], other["folder"], 18)
    assert_gone(one)


def test_without_workers_another_version_runs_and_its_data_is_deleted(
    pytester: pytest.Pytester,
) -> None:
    run(pytester, POSTGRES, "--recollect-postgres", "16").assert_outcomes(passed=6)
    (message,) = told_by(pytester.path)
    assert message["version"] == 16
    assert_gone(message)


def test_the_command_line_goes_before_the_configuration(pytester: pytest.Pytester) -> None:
    suite = "def test_dimension(fake_database):\n    assert fake_database.dimensions == 5\n"
    run(pytester, suite, "--recollect-dimensions", "5").assert_outcomes(passed=1)


def test_pytest_lists_the_fixtures(pytester: pytest.Pytester) -> None:
    listed = pytester.runpytest_subprocess("--fixtures", timeout=60)
    for name in (
        "fake_database",
        "fake_uow",
        "recollect_server",
        "recollect_url",
        "recollect_database",
        "recollect_uow",
    ):
        assert f"\n{name} " in listed.stdout.str(), name


OWN_PACKAGE = """
from {package}.orders import Orders

def test_the_application_imports_its_own_package():
    assert Orders.__module__ == "{package}.orders"
"""
USES_FIXTURES = """
def test_asks_for_a_fake(fake_uow):
    pass

def test_asks_for_a_server(recollect_server):
    pass

def test_asks_for_a_database(recollect_database):
    pass
"""


@pytest.mark.parametrize("package", ["domain", "repositories"])
def test_an_application_with_a_package_of_the_same_name_is_left_alone(
    pytester: pytest.Pytester, package: str
) -> None:
    pytester.mkpydir(package).joinpath("orders.py").write_text("class Orders: ...\n")
    pytester.makeconftest(f"from {package}.orders import Orders\n")
    run(pytester, OWN_PACKAGE.format(package=package)).assert_outcomes(passed=1)


@pytest.mark.parametrize("package", ["domain", "repositories"])
def test_tests_in_a_folder_of_the_same_name_are_left_alone(
    pytester: pytest.Pytester, package: str
) -> None:
    folder = pytester.mkdir("tests") / package
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "orders.py").write_text("class Orders: ...\n")
    (folder / "test_orders.py").write_text(OWN_PACKAGE.format(package=package))
    run(pytester, "").assert_outcomes(passed=1)


@pytest.mark.parametrize("package", ["domain", "repositories"])
def test_a_fixture_says_which_package_of_the_same_name_is_in_its_way(
    pytester: pytest.Pytester, package: str
) -> None:
    folder = pytester.mkpydir(package)
    finished = run(pytester, USES_FIXTURES)
    finished.assert_outcomes(errors=3)
    message = f"needs the package `{package}` of Recollect"
    finished.stdout.fnmatch_lines([f"*{message}*imports {folder / '__init__.py'}*"] * 3)


def test_a_fixture_says_which_distribution_overwrote_the_package(
    pytester: pytest.Pytester,
) -> None:
    pytester.makeconftest(
        "import recollect_pytest\n"
        "recollect_pytest.packages_distributions = lambda: {'domain': ['recollect', 'shop']}\n"
    )
    finished = run(pytester, USES_FIXTURES)
    finished.assert_outcomes(errors=3)
    finished.stdout.fnmatch_lines(["*shop installs files into the package `domain`*"] * 3)


WITHOUT_PYTEST_ASYNCIO = """
import sys
from importlib.machinery import PathFinder
import pytest
find = PathFinder.find_spec
PathFinder.find_spec = lambda name, *place: None if name == "pytest_asyncio" else find(name, *place)
sys.exit(pytest.main(["-q", "-p", "no:asyncio"]))
"""


def test_a_suite_without_pytest_asyncio_is_left_alone(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        "def test_nothing(pytestconfig):\n    assert not "
        "pytestconfig.pluginmanager.has_plugin('asyncio')\n"
    )
    command = [sys.executable, "-c", WITHOUT_PYTEST_ASYNCIO]
    ran = subprocess.run(
        command, cwd=pytester.path, capture_output=True, text=True, timeout=60, check=False
    )
    assert (ran.returncode, "1 passed" in ran.stdout) == (0, True), ran.stdout + ran.stderr
