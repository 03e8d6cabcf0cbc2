"""The page on failures says of every error what the error says of itself."""

from __future__ import annotations

import re
from pathlib import Path

import domain
from domain import DatabaseFailure, RecollectError

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "errors.md"


def rows() -> dict[str, bool]:
    """Each error that a row names, and whether that row calls it safe to retry."""
    found = re.findall(r"^\| (`.+?) \| .+ \| (yes|no) \|$", PAGE.read_text(), re.MULTILINE)
    return {
        name: answer == "yes" for names, answer in found for name in re.findall(r"`(\w+)`", names)
    }


def every_error(of: type[RecollectError] = RecollectError) -> set[type[RecollectError]]:
    return {of}.union(*map(every_error, of.__subclasses__()))


def test_the_page_names_every_failure_of_the_database() -> None:
    assert {
        error.__name__ for error in every_error(DatabaseFailure) - {DatabaseFailure}
    } <= rows().keys()


def test_the_page_and_the_errors_agree_on_what_is_safe_to_retry() -> None:
    for name, safe in rows().items():
        for error in every_error(getattr(domain, name)):
            assert error.safe_to_retry is safe, error.__name__
