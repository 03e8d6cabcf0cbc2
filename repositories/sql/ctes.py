"""Parts of a statement that the server executes once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sqlalchemy import CTE


def materialized(statement: Any, name: str) -> CTE:
    """Return the statement under a name, executed once and planned by itself."""
    cte: CTE = statement.cte(name)
    return cte.prefix_with("MATERIALIZED", dialect="postgresql")
