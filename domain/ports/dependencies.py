"""Merged dependency bumps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from domain.entities.dependencies import DependencyBumpMerge
from domain.ports.repository import ReadRepository, Repository
from domain.values.paging import DEFAULT_LIMIT


class DependencyBumpReader(ReadRepository[DependencyBumpMerge], Protocol):
    """Reads merged dependency bumps."""

    async def history(
        self, repo: str, package: str, *, limit: int = DEFAULT_LIMIT
    ) -> Sequence[DependencyBumpMerge]:
        """Return the package's bumps, the last merged first.

        Bumps without a date come last. Ties are ordered by id, descending.
        """
        ...


class DependencyBumpRepository(DependencyBumpReader, Repository[DependencyBumpMerge], Protocol):
    """Records merged dependency bumps."""

    async def record(self, bump: DependencyBumpMerge) -> bool:
        """Write the bump if `(repo, pr_number)` is new, and return whether it was."""
        ...
