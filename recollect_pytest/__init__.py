"""A pytest plugin for services that keep their memory in Recollect.

It is on wherever Recollect is installed, and imports nothing of `domain` and `repositories` before
a test requests one of its fixtures: an application may have packages of these names.

Fixtures, which need the extra `testing`:

- `fake_database`, `fake_uow`: in memory, empty for each test, without a server.
- `recollect_database`, `recollect_uow`: a migrated PostgreSQL database of this worker, open; empty
  for each test.
- `recollect_store`: the fake and PostgreSQL in turn, so that a test runs on both.
- `recollect_url`: its URL, for a program that opens it by itself; nothing empties it but
  `recollect_database`.
- `recollect_server`: the embedded server of this session, shared by all workers; started by the
  first, stopped by the last.

A `..._uow` discards uncommitted changes. Tables of an application's own entities are created
in the test database, if the entities are registered when the test runs.

Options, on the command line or in pytest's configuration:

- `--recollect-dimensions`, `recollect_dimensions`: dimension of the embeddings, 1,024 by default.
- `--recollect-postgres`, `recollect_postgres`: major version of PostgreSQL, 18 by default.
"""

from __future__ import annotations

from functools import cache
from importlib.metadata import packages_distributions
from importlib.util import find_spec
from pathlib import Path

import pytest

pytest.register_assert_rewrite("repositories.testing.contract")

PACKAGES = ("domain", "repositories")

_OPTIONS = {
    "dimensions": (1024, "dimension of the embeddings in test databases"),
    "postgres": (18, "major version of the embedded PostgreSQL (16 or 18)"),
}


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the plugin's options."""
    group = parser.getgroup("recollect")
    for name, (default, what) in _OPTIONS.items():
        group.addoption(
            f"--recollect-{name}", type=int, metavar="N", help=f"{what}, by default {default}"
        )
        parser.addini(f"recollect_{name}", what, type="int", default=default)


def pytest_configure(config: pytest.Config) -> None:
    """Load the fixtures if pytest-asyncio is installed. Other test suites run without them."""
    if find_spec("pytest_asyncio") is not None:
        config.pluginmanager.import_plugin("recollect_pytest.fixtures")


def option(config: pytest.Config, name: str) -> int:
    """Return the option from the command line, or else from the configuration."""
    value = config.getoption(f"--recollect-{name}")
    return int(config.getini(f"recollect_{name}") if value is None else value)


def require_own_packages() -> None:
    """Fail the test if Python does not import the packages that were installed with the plugin.

    An application imports its own packages of these names if they come first on `sys.path`.
    """
    for name in PACKAGES:
        spec = find_spec(name)
        imported = spec.origin if spec is not None else None
        own = Path(__file__).resolve().parents[1] / name / "__init__.py"
        if imported is None or Path(imported).resolve() != own:
            pytest.fail(
                f"this fixture needs the package `{name}` of Recollect in {own.parent}, but Python "
                f"imports {imported or 'none of that name'}: rename the other package, or remove "
                "its folder from sys.path",
                pytrace=False,
            )
    for name, others in _foreign_owners().items():
        pytest.fail(
            f"{', '.join(others)} installs files into the package `{name}` of Recollect: rename "
            "the other package, and install Recollect again",
            pytrace=False,
        )


@cache
def _foreign_owners() -> dict[str, list[str]]:
    """Return the other distributions that have files in a package of Recollect."""
    owners = packages_distributions()
    others = {
        name: [each for each in owners.get(name, []) if each != "recollect"] for name in PACKAGES
    }
    return {name: names for name, names in others.items() if names}


def shared_folder(factory: pytest.TempPathFactory) -> Path:
    """Return the folder that all workers of this session share."""
    base = factory.getbasetemp()
    return (
        base.parent / f"{base.parent.name}-recollect"
        if base.name.startswith("popen-")
        else base / "recollect"
    )
