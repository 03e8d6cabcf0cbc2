"""Run a state machine for a number of steps."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, Final

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from repositories.testing.stateful.machine import Machine
    from repositories.testing.stateful.sides import Sides

EXPECTED_WARNINGS: Final = ("New instance", "Session's state has been changed")
"""Beginnings of warnings of SQLAlchemy.

It warns of a row that is added twice, besides the error, and of entities that are added or changed
after a failed statement of a savepoint, before the savepoint is rolled back.
"""

STEPS_PER_PROGRAM: Final = 250
PROGRAMS: Final = 20
"""Least number of programs. The first ones of Hypothesis repeat the simplest steps."""

COMPARED_PER_STEP: Final = 1.4
"""About; some steps are compared more than once."""


def drive(
    sides: Sides,
    machine: Callable[[Sides], type[Machine]],
    *,
    steps: int,
    start: int,
    shrinks: bool = True,
) -> None:
    """Run the machine until this many steps were compared.

    Args:
        sides: the two sides.
        machine: returns the class of the machine.
        steps: the number of steps.
        start: the seed of the random operations.
        shrinks: after a difference, search for the shortest program that has it.

    Raises:
        Difference: the two sides disagree; the program is printed before.
    """
    phases: Sequence[Phase] = (Phase.generate, Phase.shrink) if shrinks else (Phase.generate,)
    per_program = max(10, min(STEPS_PER_PROGRAM, steps // PROGRAMS))
    plan = settings(
        stateful_step_count=per_program,
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
        kind = machine(sides)
        # Another seed for the remaining steps.
        seed(start + sides.steps)(kind)
        programs = ceil((steps - sides.steps) / (per_program * COMPARED_PER_STEP))
        run_state_machine_as_test(kind, settings=settings(plan, max_examples=programs))
