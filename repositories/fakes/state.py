"""The state that all units of work of one fake database share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import count
from typing import TYPE_CHECKING

from domain.values.bm25 import DEFAULT_BM25, Bm25
from domain.values.search import VECTOR_WEIGHT
from repositories.fakes.layers import Layer, new_layer
from repositories.registry import LIBRARY, Registry

if TYPE_CHECKING:
    from repositories.fakes.locks import Locks
    from repositories.fakes.tables import Table
    from repositories.fakes.tracking import Tracker


@dataclass(slots=True)
class CommitCounter:
    """Number of committed units of work that changed something."""

    commits: int = 0


@dataclass(frozen=True, slots=True, weakref_slot=True, eq=False)
class State:
    """Tables, committed rows, locks and clock of one fake database.

    `ticks` numbers events in the order in which they happen, independent of the clock.
    """

    tables: Mapping[str, Table]
    locks: Locks
    clock: Callable[[], datetime]
    dimensions: int
    vector_weight: float = VECTOR_WEIGHT
    bm25: Bm25 = DEFAULT_BM25
    registry: Registry = LIBRARY
    committed: Layer = field(default_factory=new_layer)
    ticks: count[int] = field(default_factory=count)
    trackers: dict[int, Tracker] = field(default_factory=dict)
    open_units: Counter[bool] = field(default_factory=Counter)
    """Number of open units of work (true) and readers (false)."""
    progress: CommitCounter = field(default_factory=CommitCounter)
