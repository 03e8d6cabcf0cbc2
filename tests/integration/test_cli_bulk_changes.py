"""`recollect db mark-stale`, `db purge` and `db delete-review`, on a real database."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from typer.testing import CliRunner

from repositories import Database
from repositories.cli.app import app
from repositories.testing.factories import (
    LearningMemoryFactory,
    ReviewFactory,
    TelemetryEventFactory,
)

if TYPE_CHECKING:
    import pytest

    from repositories.testing.servers import TestServer


def test_rows_are_changed_by_commands(
    servers: dict[int, TestServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    url = servers[18].clone()
    review = ReviewFactory.build()
    old = datetime(2025, 1, 1, tzinfo=UTC)

    async def write() -> None:
        async with Database.from_url(url) as database, database.unit_of_work() as uow:
            uow.reviews.add(review)
            uow.memories.add(LearningMemoryFactory.build(embedding_model="old", stale=False))
            uow.telemetry.add(TelemetryEventFactory.build(created_at=old))
            await uow.commit()

    asyncio.run(write())
    review_id = str(review.id)
    monkeypatch.setenv("DATABASE_URL", url.get_secret_value())

    def rows(*arguments: str) -> dict[str, int]:
        done = CliRunner().invoke(app, ["db", *arguments, "--json"])
        assert done.exit_code == 0, done.output
        printed: dict[str, int] = json.loads(done.stdout)
        return {name: count for name, count in printed.items() if name != "database"}

    assert rows("mark-stale", "new") == {"marked": 1}
    assert rows("purge", "--stale-memories", "--telemetry-days", "30", "--runs") == {
        "telemetry": 1,
        "runs": 0,
        "memories": 1,
    }
    assert rows("delete-review", review_id) == {"reviews": 1}
    assert rows("delete-review", review_id) == {"reviews": 0}
    refused = CliRunner().invoke(app, ["db", "purge"])
    assert refused.exit_code != 0
    assert "nothing to delete" in refused.output
    unnamed = CliRunner().invoke(app, ["db", "mark-stale", " "])
    assert unnamed.exit_code != 0
    assert "name the current model" in unnamed.output
