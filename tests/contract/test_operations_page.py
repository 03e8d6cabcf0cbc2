"""The page of operations names exactly the methods of the ports."""

from __future__ import annotations

import re
from pathlib import Path

from domain.ports import ReadRepository, Repository
from tests.contract.ports import UNITS, all_operations, methods_of, parts_of

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "operations.md"

COMMON = methods_of(Repository)
PARTS = {name for port in UNITS.values() for name, _ in parts_of(port)}


def methods_named(page: str) -> list[str]:
    """Return what the first column of the tables names."""
    rows = [line.strip("| \n").split(" | ") for line in page.splitlines() if line.startswith("|")]
    return [name for row in rows for name in re.findall(r"`([\w.]+)`", row[0])]


def documented(operation: str) -> set[str]:
    """Return the names by which the page may call an operation of a unit of work or a reader."""
    _, _, name = operation.partition(".")
    own, _, method = name.rpartition(".")
    if not own:
        return {f"uow.{method}"}
    return {name, method} if method in COMMON else {name}


def test_every_method_of_every_port_is_on_the_page() -> None:
    named = set(methods_named(PAGE.read_text()))
    assert [
        operation for operation in sorted(all_operations()) if not documented(operation) & named
    ] == [], "add a row for each of these operations to docs/reference/operations.md"


def test_the_page_names_only_methods_that_there_are() -> None:
    there_are = set[str]().union(*map(documented, all_operations()))
    assert [name for name in methods_named(PAGE.read_text()) if name not in there_are] == [], (
        "no port has these methods: correct their rows in docs/reference/operations.md"
    )


def test_every_row_of_a_table_names_a_method() -> None:
    rows = [
        line
        for line in PAGE.read_text().splitlines()
        if line.startswith("|") and not line.startswith(("| --", "| method"))
    ]
    assert [row for row in rows if not methods_named(row)] == []
    assert rows


def test_the_page_says_where_the_common_methods_are() -> None:
    named = set(re.findall(r"`([\w.]+)`", PAGE.read_text()))
    assert methods_of(ReadRepository) <= named
    assert PARTS - {"embedding_metadata"} - named == set(), (
        "name these repositories below the heading Every repository of docs/reference/operations.md"
    )


def test_a_method_that_is_not_on_the_page_would_be_found() -> None:
    page = PAGE.read_text().replace("`runs.claim`", "`runs.clam`")
    named = set(methods_named(page))
    assert not documented("uow.runs.claim") & named
    assert "runs.clam" in named
