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

        Args:
            repo: repository, as owner/name.
            package: name of the package.
            limit: largest number of bumps, 1 to 10,000.

        Raises:
            InvalidInput: `limit` is out of range.
        """
        ...


class DependencyBumpRepository(DependencyBumpReader, Repository[DependencyBumpMerge], Protocol):
    """Records merged dependency bumps."""

    async def record(self, bump: DependencyBumpMerge) -> bool:
        """Write the bump if `(repo, pr_number)` is new, and return whether it was.

        Args:
            bump: the merged pull request.

        Raises:
            TenantMismatch: the bump belongs to another tenant.
        """
        ...
