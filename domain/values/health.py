"""Health of a database."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolFigures:
    """The connections of one pool: `size` and `max_overflow` allowed, the others at this moment."""

    size: int
    max_overflow: int
    checked_in: int
    checked_out: int
    overflow: int
    total: int

    @property
    def status(self) -> str:
        """The figures in a sentence."""
        most = self.size + self.max_overflow
        return f"{self.checked_out} of {most} connections in use, {self.checked_in} idle"


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """A problem and its remedy."""

    what: str
    remedy: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """The state of a database, which is healthy if `problems` is empty.

    None stands for a version, a revision or a record that does not exist.
    """

    server_version: str
    pgvector_version: str | None
    revision: str | None
    expected_revision: str
    provider: str | None
    model: str | None
    dimensions: int | None
    row_level_security: bool
    pool: PoolFigures
    problems: tuple[Problem, ...]

    @property
    def healthy(self) -> bool:
        """Whether `problems` is empty."""
        return not self.problems
