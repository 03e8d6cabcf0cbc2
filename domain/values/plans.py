"""What a search cost and how it went. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchPlan:
    """How one statement of a search was executed.

    `searched` is the table. `indexes` are those that were used, by name; `rows_examined` counts the
    rows of the table that were read, once for each time. `milliseconds` are the server's, planning
    included. `exact` tells that no approximate index stood between question and answer. `advice` is
    what to do if it is slow, most helpful first; empty where nothing stands out.
    """

    searched: str
    indexes: tuple[str, ...]
    rows_examined: int
    milliseconds: float
    exact: bool
    advice: tuple[str, ...] = ()
