"""The table of errors: what each one means and whether the unit of work may run again."""

from __future__ import annotations

from collections.abc import Iterator

from domain import RecollectError
from tests.docs.reference.markdown import code, paragraphs, table


def errors(root: type[RecollectError] = RecollectError) -> Iterator[type[RecollectError]]:
    """Yield the public errors from the root down, a parent before its children."""
    if root.__module__ == RecollectError.__module__:
        yield root
    for child in root.__subclasses__():
        yield from errors(child)


def rows() -> str:
    """Return the table."""
    cells = [
        (
            code(error.__name__),
            code(error.__mro__[1].__name__),
            paragraphs(error)[0],
            _answer(error),
        )
        for error in errors()
        if error is not RecollectError
    ]
    return table(("error", "is a", "meaning", "safe to retry"), cells)


def _answer(error: type[RecollectError]) -> str:
    return "yes" if error.safe_to_retry else "no"
