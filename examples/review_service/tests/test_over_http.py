"""The whole application over HTTP: Uvicorn in a process of its own, with PostgreSQL."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from httpx2 import AsyncClient

if TYPE_CHECKING:
    from pydantic import SecretStr

    from repositories import Database

ROOT = Path(__file__).parents[3]
TITLE = "Retries are not bounded by a deadline"


@asynccontextmanager
async def served(database_url: SecretStr) -> AsyncIterator[str]:
    """Run the application as its README shows, and yield its address."""
    environment = {**os.environ, "DATABASE_URL": database_url.get_secret_value()}
    command = [
        "-m",
        "uvicorn",
        "--factory",
        "examples.review_service.main:app",
        "--host",
        "127.0.0.1",
        "--port",
        "0",
    ]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *command,
        cwd=ROOT,
        env=environment,
        stdin=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stderr is not None
        log = ""
        while (place := re.search(r"running on (http://127\.0\.0\.1:\d+)", log)) is None:
            line = (await asyncio.wait_for(process.stderr.readline(), 60)).decode()
            assert line, f"uvicorn ended: {log}"
            log += line
        yield place[1]
    finally:
        if process.returncode is None:
            process.terminate()
        await asyncio.wait_for(process.communicate(), 30)


def review(repo: str, *, head: str, title: str = TITLE) -> dict[str, Any]:
    finding = {
        "file_path": "client.py",
        "severity": "major",
        "category": "correctness",
        "confidence": 80,
        "title": title,
    }
    posted = {"comment_id": 3_000_000_000, "comment_surface": "inline"}
    request = {
        "repo": repo,
        "pr_number": 7,
        "base_sha": "b0",
        "head_sha": head,
        "delivery_id": f"d-{head}",
    }
    return {**request, "findings": [{**finding, **posted}]}


@pytest.mark.usefixtures("recollect_database")  # which is emptied afterwards
async def test_a_review_is_recorded_judged_and_found_again(recollect_url: SecretStr) -> None:
    async with served(recollect_url) as url, AsyncClient(base_url=url, timeout=30) as client:
        created = await client.post("/reviews", json=review("acme/api", head="h1"))
        again = await client.post("/reviews", json=review("acme/api", head="h1"))
        assert (created.status_code, again.status_code) == (201, 200)
        assert again.json() == created.json() | {"is_new": False}

        path = f"/findings/{created.json()['finding_ids'][0]}/feedback"
        thumb = {"reaction": "-1", "login": "ann", "reaction_id": 1}
        results = [(await client.post(path, json=thumb)).json() for _ in range(2)]
        assert (
            [each["is_counted"] for each in results]
            == [each["is_learned"] for each in results]
            == [True, False]
        )

        similar = (
            await client.get("/repos/acme/api/similar", params={"text": "how are retries bounded?"})
        ).json()
        assert (
            [memory["text"] for memory in similar["memories"]]
            == [finding["title"] for finding in similar["findings"]]
            == [TITLE]
        )
        shared = (
            await client.get("/repos/acme/web/similar", params={"text": "bounded retries"})
        ).json()
        assert [memory["is_shared"] for memory in shared["memories"]] == [True]

        stats = (await client.get("/repos/acme/api/stats")).json()
        assert (stats["reviews"], stats["findings"], stats["by_severity"]["major"]) == (1, 1, 1)
        trends = (await client.get("/repos/acme/api/trends", params={"days": 3})).json()
        assert [day["findings"] for day in trends] == [0, 0, 1]
        elsewhere = await client.get("/repos/acme/api/stats", headers={"X-Tenant": "globex"})
        assert elsewhere.json()["reviews"] == 0

        refused = await client.post("/reviews", json=review("no-owner", head="h1"))
        unknown = await client.post(path.replace("/findings/0", "/findings/f"), json=thumb)
        assert (refused.status_code, unknown.status_code) == (422, 404)

        # Ten requests for one head at once: one records it, the others get it or have to try again.
        answers = await asyncio.gather(
            *(client.post("/reviews", json=review("acme/web", head="h2")) for _ in range(10))
        )
        counted = Counter(answer.status_code for answer in answers)
        assert counted[201] == 1
        assert counted.keys() <= {200, 201, 409}
        assert all(
            answer.headers["Retry-After"] == "1" for answer in answers if answer.status_code == 409
        )
        assert (
            len({answer.json()["review_id"] for answer in answers if answer.status_code != 409})
            == 1
        )
        assert (await client.get("/repos/acme/web/stats")).json()["reviews"] == 1


async def test_it_does_not_start_on_embeddings_of_another_kind(
    recollect_database: Database, recollect_url: SecretStr
) -> None:
    async with recollect_database.unit_of_work() as uow:
        await uow.embedding_metadata.set(provider="another", model="another", dimensions=1024)
        await uow.commit()
    with pytest.raises(AssertionError, match="EmbeddingMismatch"):
        async with served(recollect_url):
            pass
