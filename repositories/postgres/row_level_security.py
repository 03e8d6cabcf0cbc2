"""Whether row-level security stands between the tenants of a database."""

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
    """What the catalog says of row-level security: whether it was switched on, and where it does
    not hold.

    `uncovered` are tables and partitions without it, `passed` those where it does not bind the
    current role, `views` read a table with their owner's rights.
    """

    on: bool
    uncovered: tuple[str, ...] = ()
    passed: tuple[str, ...] = ()
    views: tuple[str, ...] = ()
    role: str | None = None

    @classmethod
    def read(cls, connection: Connection) -> Self:
        """Return what holds for the connection's database and role."""
        return cls.of(connection.execute(POLICY_STATUS).mappings().all())

    @classmethod
    def of(cls, walls: Iterable[RowMapping]) -> Self:
        """Return what the rows of `POLICY_STATUS` come to."""
        found = list(walls)
        return cls(
            on=any(wall["begun"] for wall in found),
            uncovered=tuple(wall["table"] for wall in found if not wall["covered"]),
            passed=tuple(wall["table"] for wall in found if not wall["active"]),
            views=tuple(sorted({view for wall in found for view in wall["views"]})),
            role=found[0]["role"] if found else None,
        )

    def gaps(self) -> Iterator[str]:
        """Yield where a database that has it leaves a way round, one sentence each.

        Nothing where it was not switched on.
        """
        if self.on:
            yield from (
                f"row-level security does not cover table {table}" for table in self.uncovered
            )
            yield from (
                f"view {view} reads tenants' rows with its owner's rights: make it security_invoker"
                for view in self.views
            )

    def require(self) -> None:
        """Raise RowLevelSecurityRequired unless every table is covered, for the current role too."""
        if self.uncovered:
            raise RowLevelSecurityRequired(
                f"row-level security does not cover {_few(self.uncovered)}: run `recollect db rls enable`"
            )
        if self.passed:
            raise RowLevelSecurityRequired(
                f"row-level security does not bind the role {self.role}, which is a superuser or has BYPASSRLS: connect as another"
            )


def _few(tables: tuple[str, ...]) -> str:
    return tables[0] if len(tables) == 1 else f"{tables[0]} and {len(tables) - 1} other tables"
