"""Sizes of the fault tests, and the file into which they write their measurements."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pytest

from tests.faults.promised import PROMISES

FULL = os.environ.get("FAULTS") == "full"
FOLDER = Path(__file__).parent


on_the_newest = pytest.mark.parametrize("server", [18], indirect=True, ids=["postgres-18"])
"""For what is measured: the older server's figures would tell nothing new, and take as long."""


@dataclass(frozen=True)
class Effort:
    """How much to do: a second or two of everything, or what `make faults` publishes."""

    full: bool

    def times(self, short: int, full: int) -> int:
        """Return how often to do something."""
        return full if self.full else short


class Promises(Protocol):
    """Records the figure of a promise, and what shows that its check can fail."""

    def __call__(self, promise: str, figure: str, *, control: str | None = None) -> None: ...


@pytest.fixture(scope="session")
def effort() -> Effort:
    return Effort(full=FULL)


@pytest.fixture
def promises(request: pytest.FixtureRequest) -> Promises:
    """Record a line of docs/explanation/guarantees.md in the file of FAULTS_FIGURES.

    Without it, only whether the promise is one.
    """
    test = request.node.nodeid.partition("[")[0]
    parameters = getattr(request.node, "callspec", None)
    case = parameters.id if parameters is not None else None

    def record(promise: str, figure: str, *, control: str | None = None) -> None:
        assert promise in PROMISES, f"{promise!r} is not in tests/faults/promised.py"
        if file := os.environ.get("FAULTS_FIGURES"):
            line = json.dumps(
                {
                    "promise": promise,
                    "figure": figure,
                    "control": control,
                    "test": test,
                    "case": case,
                }
            )
            # One write of an appending file: lines of several workers do not mix.
            with Path(file).open("a", encoding="utf-8") as figures:
                figures.write(line + "\n")

    return record


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave what runs on both servers to PostgreSQL 18, unless everything is asked for."""
    if FULL:
        return
    left_out = [
        item
        for item in items
        if FOLDER in item.path.parents and _version_of(item) not in (None, 18)
    ]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


def _version_of(item: pytest.Item) -> int | None:
    case = getattr(item, "callspec", None)
    return None if case is None else case.params.get("server")
