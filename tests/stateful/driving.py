"""Random programs of the library's own operations."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

import pytest

from repositories.testing.stateful import driving
from repositories.testing.stateful.machine import machine_of
from tests.stateful.batches import BatchMachine
from tests.stateful.reads import READS
from tests.stateful.searches import SEARCHES
from tests.stateful.world import LibraryWorld
from tests.stateful.writes import WRITES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from repositories.testing.stateful.machine import Machine
    from repositories.testing.stateful.operations import Operation
    from repositories.testing.stateful.sides import Sides

FULL: Final = "STATEFUL_STEPS" in os.environ or os.environ.get("FAULTS") == "full"
"""Whether to compare as many steps as `make soak` and `make faults` do."""

SHARDS: Final = 4 if FULL else 2
"""At least one on each version of PostgreSQL."""

STEPS_PER_SHARD: Final = 2_000
STEPS: Final = (
    int(os.environ.get("STATEFUL_STEPS", 20_000 if FULL else SHARDS * STEPS_PER_SHARD)) // SHARDS
)

quietly = pytest.mark.filterwarnings(
    *(f"ignore:{message}:sqlalchemy.exc.SAWarning" for message in driving.EXPECTED_WARNINGS)
)


def beginning(shard: int, seed: int = 0) -> int:
    """Return the seed of the random operations of a shard."""
    return seed + shard * 1_000_000_000


def drive(
    sides: Sides,
    *,
    steps: int,
    start: int,
    shrinks: bool = True,
    writes: Sequence[Operation] = WRITES,
    reads: Sequence[Operation] = (*READS, *SEARCHES),
) -> None:
    """Run random programs of these operations until this many steps were compared.

    Raises:
        Difference: the two sides disagree; the program is printed before.
    """

    def machine(sides: Sides) -> type[Machine]:
        base = machine_of(sides, LibraryWorld, writes=writes, reads=reads)
        return type("LibraryMachine", (BatchMachine, base), {})

    driving.drive(sides, machine, steps=steps, start=start, shrinks=shrinks)
