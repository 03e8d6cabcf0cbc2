"""The status of row-level security in a database."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from domain.errors import RowLevelSecurityRequired
from repositories.sql.row_level_security import POLICY_STATUS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Self

    from sqlalchemy import Connection, RowMapping


@dataclass(frozen=True, slots=True, kw_only=True)
class RowLevelSecurityStatus:
    """Whether row-level security is enabled, and where it is incomplete.

    Attributes:
        on: whether any table has the policy.
        uncovered: tables and partitions without complete row-level security.
        passed: tables and partitions where it does not apply to the current role.
        views: views that read a table with the rights of their owner.
        role: the current role.
    """

    on: bool
    uncovered: tuple[str, ...] = ()
    passed: tuple[str, ...] = ()
    views: tuple[str, ...] = ()
    role: str | None = None

    @classmethod
    def read(cls, connection: Connection) -> Self:
        """Return the status for the connection's database and role."""
        return cls.of(connection.execute(POLICY_STATUS).mappings().all())

    @classmethod
    def of(cls, tables: Iterable[RowMapping]) -> Self:
        """Return the status that the rows of `POLICY_STATUS` describe."""
        rows = list(tables)
        return cls(
            on=any(row["begun"] for row in rows),
            uncovered=tuple(row["table"] for row in rows if not row["covered"]),
            passed=tuple(row["table"] for row in rows if not row["active"]),
            views=tuple(sorted({view for row in rows for view in row["views"]})),
            role=rows[0]["role"] if rows else None,
        )

    def gaps(self) -> Iterator[str]:
        """Yield a sentence for each gap in row-level security; none if it is not enabled."""
        if self.on:
            yield from (
                f"row-level security does not cover table {table}" for table in self.uncovered
            )
            yield from (
                f"view {view} reads tenants' rows with its owner's rights: make it security_invoker"
                for view in self.views
            )

    def require(self) -> None:
        """Raise RowLevelSecurityRequired unless it covers every table for the current role."""
        if self.uncovered:
            raise RowLevelSecurityRequired(
                f"row-level security does not cover {_few(self.uncovered)}:"
                " run `recollect db rls enable`"
            )
        if self.passed:
            raise RowLevelSecurityRequired(
                f"row-level security does not apply to the role {self.role}, which is a superuser"
                " or has BYPASSRLS: connect as another role"
            )


def _few(tables: tuple[str, ...]) -> str:
    return tables[0] if len(tables) == 1 else f"{tables[0]} and {len(tables) - 1} other tables"
