"""Many processes migrate the same database at once, as replicas of a service do at their start."""

from __future__ import annotations

from typing import TYPE_CHECKING

from repositories import migrations
from tests.faults.migrators import migrators
from tests.integration.migrations.support import INDEX, NEXT, opened, write_revision

if TYPE_CHECKING:
    from pathlib import Path

    from repositories.testing.servers import TestServer
    from tests.faults.conftest import Effort, Promises

MIGRATORS = 8
SURPLUS = "index ix_reviews_model of reviews is in the database and not in the entities"


async def test_eight_migrators_at_once_on_an_empty_database_all_succeed_each_time(
    servers: dict[int, TestServer], effort: Effort, promises: Promises, tmp_path: Path
) -> None:
    # The last revision builds an index concurrently, which waits for the transactions of every
    # other migrator.
    write_revision(tmp_path, INDEX)
    rounds = (18, *[16] * effort.times(0, 2))
    with migrators(MIGRATORS, tmp_path) as eight:
        for version in rounds:
            url = servers[version].empty()
            assert await eight.migrate(url) == [NEXT] * MIGRATORS
            async with opened(url) as engine:
                assert await migrations.check(engine, directory=tmp_path) == [SURPLUS]
        careless = await eight.migrate(servers[18].empty(), careless=True)
    failed = sum(answer != NEXT for answer in careless)
    assert failed > 0
    calls = len(rounds) * MIGRATORS
    promises(
        "Concurrent migrators are safe",
        f"{calls} of {calls} succeeded, {MIGRATORS} processes at once on an empty database, "
        f"{len(rounds)} times, with an index "
        "that is built concurrently",
        control=f"{failed} of {MIGRATORS} fail without the lock",
    )
