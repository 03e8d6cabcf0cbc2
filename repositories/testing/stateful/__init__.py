"""Compare the fake with PostgreSQL in random programs, for an application's own entities.

A program opens units of work and readers, adds, deletes, reads and searches entities, assigns
attributes, enters savepoints, commits and rolls back, in random order. Each step is made on both
sides, and results, order and errors have to be the same::

    def label(world: World) -> ReviewLabel:
        pick = world.choices.pick
        return ReviewLabel(repo=pick(("acme/api", "acme/web")), pr_number=1, label=pick(("a", "b")))

    def test_both_stores_do_the_same(recollect_url: SecretStr) -> None:
        compare_stores(recollect_url, {ReviewLabel: label})
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy.exc import SAWarning

from repositories.testing.stateful.choices import Choices
from repositories.testing.stateful.driving import EXPECTED_WARNINGS, drive
from repositories.testing.stateful.machine import machine_of
from repositories.testing.stateful.operations import (
    READS,
    SEARCHES,
    WRITES,
    Call,
    Operation,
    searchable_kinds,
)
from repositories.testing.stateful.sides import Difference, Sides, open_sides
from repositories.testing.stateful.world import Maker, World

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pydantic import SecretStr

    from repositories.testing.stateful.machine import Machine

__all__ = ["Call", "Choices", "Difference", "Maker", "Operation", "World", "compare_stores"]

STEPS: Final = 1_000
"""A few seconds."""


def compare_stores(
    url: SecretStr,
    makers: Mapping[Any, Maker],
    *,
    reads: Sequence[Operation] = (),
    writes: Sequence[Operation] = (),
    steps: int = STEPS,
    seed: int = 0,
) -> None:
    """Run random programs on the fake and on PostgreSQL, and compare each step.

    Args:
        url: a migrated database for tests, such as the fixture `recollect_url`. It is emptied.
        makers: a function for each entity that returns a new one. It picks values with
            `world.choices`, from a few, so that rows share them; `world.existing(Parent)` returns
            an entity to refer to, and `world.id_of(Parent)` an id that sometimes does not exist.
        reads: operations of your own repositories that read. Each picks its arguments and returns a
            function of a unit of work or a reader.
        writes: operations of your own repositories that write.
        steps: the number of steps to compare at least.
        seed: the same steps for the same seed.

    Raises:
        Difference: the two stores disagree; a short program that shows it is printed.
    """
    searched = searchable_kinds(tuple(makers))

    def machine(sides: Sides) -> type[Machine]:
        return machine_of(
            sides,
            lambda: World(makers),
            writes=(*WRITES, *writes),
            reads=(*READS, *(SEARCHES if searched else ()), *reads),
        )

    tables = [str(kind.__tablename__) for kind in searched]
    with warnings.catch_warnings(), open_sides(url, Sides, searched=tables) as sides:
        for message in EXPECTED_WARNINGS:
            warnings.filterwarnings("ignore", message, SAWarning)
        drive(sides, machine, steps=steps, start=seed)
