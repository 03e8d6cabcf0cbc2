"""The parts of a statement, each once."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy.sql.visitors import ExternallyTraversible


def parts(statement: ExternallyTraversible) -> Iterator[ExternallyTraversible]:
    """Yield a statement and everything that it contains, each once.

    SQLAlchemy's `iterate` visits a common table expression as often as others refer to it, which
    doubles the time with each level of them.
    """
    visited: dict[int, ExternallyTraversible] = {}
    remaining = [statement]
    while remaining:
        part = remaining.pop()
        if id(part) not in visited:
            visited[id(part)] = part
            yield part
            remaining.extend(part.get_children())
