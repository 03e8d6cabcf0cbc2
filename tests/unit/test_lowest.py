"""The lower bounds of pyproject.toml, and how `make test-lowest` compares them."""

from __future__ import annotations

from packaging.version import Version

from tests import lowest


def test_every_dependency_has_a_lower_bound() -> None:
    bounds = lowest.lower_bounds()
    assert {"sqlalchemy", "typer", "psutil", "wordllama", "snowballstemmer"} <= bounds.keys()


def test_a_bound_that_another_dependency_raises_is_not_true() -> None:
    bounds = {"one": Version("1.0"), "other": Version("2.0")}
    versions = {"one": Version("1.1"), "other": Version("2.0.post1")}
    assert lowest.untrue(bounds, versions) == ["one>=1.0 is too low: other dependencies need 1.1"]


def test_the_tools_are_pinned() -> None:
    assert {pin.partition("=")[0] for pin in lowest.pins()} == set(lowest.TOOLS)
