"""Execution plans of searches."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchPlan:
    """How one statement of a search was executed.

    `searched` is the table. `indexes` has the names of the indexes that were used. `rows_examined`
    counts the rows of the table that were read, once for each time. `milliseconds` is the time on
    the server, planning included. `exact` is True if no approximate index was used; otherwise
    `ef_search` is the length of the list of candidates of the index scan. `advice` has ways to make
    the search faster, the most helpful first; it is empty if there are none.
    """

    searched: str
    indexes: tuple[str, ...]
    rows_examined: int
    milliseconds: float
    exact: bool
    ef_search: int | None = None
    advice: tuple[str, ...] = ()
