"""Random operations on a fake and on PostgreSQL have the same outcome.

Results, order and errors.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Final

import pytest

from tests.conftest import VERSIONS
from tests.stateful.driving import FULL, SHARDS, STEPS, beginning, drive, quietly
from tests.stateful.sides import open_sides

if TYPE_CHECKING:
    from repositories.testing.servers import TestServer
    from tests.faults.conftest import Promises

SEED: Final = int(os.environ.get("STATEFUL_SEED", "0"))
"""The same steps each time, unless asked for others."""


PARTS: Final = [(shard, VERSIONS[shard % len(VERSIONS)]) for shard in range(SHARDS)]


@quietly
@pytest.mark.parametrize(
    ("shard", "version"),
    PARTS,
    ids=[f"part {shard + 1} of {SHARDS}, PostgreSQL {on}" for shard, on in PARTS],
)
def test_a_fake_and_postgresql_do_the_same(
    shard: int, version: int, servers: dict[int, TestServer], promises: Promises
) -> None:
    with open_sides(servers[version].clone()) as sides:
        # Shrinking takes minutes.
        drive(sides, steps=STEPS, start=beginning(shard, SEED), shrinks=FULL)
        assert sides.steps >= STEPS
        sys.stdout.write(f"{sides.steps:,} steps from seed {SEED}, 0 differences\n")
    promises(
        "The fake behaves like PostgreSQL",
        f"0 differences of results, order or errors in {sides.steps:,} random steps",
    )
