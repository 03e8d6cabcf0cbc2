"""Driving the machine for a number of steps."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, Final

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.stateful.machine import Machine

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.stateful.sides import Sides

STEPS_PER_EXAMPLE: Final = 250
COMPARED_PER_EXAMPLE: Final = 350
"""About; some steps are compared more than once."""
SHARDS: Final = 4
STEPS_PER_SHARD: Final = 20_000 // SHARDS

# The warning of SQLAlchemy for a row that is added twice, besides the error.
quietly = pytest.mark.filterwarnings("ignore:New instance:sqlalchemy.exc.SAWarning")


def beginning(shard: int, seed: int = 0) -> int:
    """Return where the random operations of a shard begin; the same ones each time for a seed."""
    return seed + shard * 1_000_000_000


def drive(sides: Sides, *, steps: int, start: int, shrinks: bool = True) -> None:
    """Run the machine until so many steps were compared. `start` seeds what is done.

    Raises:
        Difference: the two sides disagree; before it, the shortest program that was found is
            printed.
    """
    phases: Sequence[Phase] = (Phase.generate, Phase.shrink) if shrinks else (Phase.generate,)
    plan = settings(
        stateful_step_count=STEPS_PER_EXAMPLE,
        deadline=None,
        database=None,
        phases=phases,
        report_multiple_bugs=False,
        suppress_health_check=(
            HealthCheck.too_slow,
            HealthCheck.data_too_large,
            HealthCheck.large_base_example,
        ),
    )
    while sides.steps < steps:
        machine = type(Machine.__name__, (Machine,), {"sides": sides})
        # Another time begins elsewhere, for the few steps that are left.
        seed(start + sides.steps)(machine)
        examples = ceil((steps - sides.steps) / COMPARED_PER_EXAMPLE)
        run_state_machine_as_test(machine, settings=settings(plan, max_examples=examples))
