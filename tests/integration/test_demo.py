"""The demo as a program: the rows it writes, its answers, and a second run."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio
from typer.testing import CliRunner, Result

from domain import ReadUnitOfWork, RunStatus, Severity, UsageBy, where
from repositories import Database
from repositories.cli import targets
from repositories.cli.app import app
from repositories.cli.demo import embedder
from repositories.cli.demo.embedder import SETTINGS
from repositories.embedded import EmbeddedServer
from tests.conftest import DIMENSIONS

if TYPE_CHECKING:
    from repositories.testing.servers import TestServer

ROOT = Path(__file__).parents[2]
REPO = "installed/alembic"
QUESTIONS = 5

Recollect = Callable[..., Result]


class Program:
    """The command line, in a folder of its own and without Docker or settings."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        unset = dict.fromkeys(targets.NAMES_A_DATABASE, "")
        return subprocess.run(
            [sys.executable, "-m", "repositories.cli", *arguments],
            cwd=self.folder,
            env={**os.environ, **unset, "PYTHONPATH": str(ROOT), **environment},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            stdin=subprocess.DEVNULL,
        )

    @property
    def data_dir(self) -> Path:
        return self.folder / ".data"

    @property
    def server(self) -> Path:
        return self.data_dir / "demo"


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Program:
    return Program(tmp_path_factory.mktemp("demo"))


@pytest.fixture(scope="module")
def first(program: Program) -> subprocess.CompletedProcess[str]:
    """The first run, on an empty folder."""
    return program("demo")


@pytest.fixture(scope="module")
def second(
    program: Program, first: subprocess.CompletedProcess[str]
) -> tuple[subprocess.CompletedProcess[str], float]:
    """The second run, and its seconds of processor time, which other programs do not change."""
    before = os.times()
    finished = program("demo")
    after = os.times()
    user = after.children_user - before.children_user
    return finished, user + after.children_system - before.children_system


@pytest_asyncio.fixture
async def view(program: Program, second: object) -> AsyncIterator[ReadUnitOfWork]:
    """A reader of the database after both runs."""
    async with (
        Database.embedded(program.server, **SETTINGS) as database,
        database.reader() as view,
    ):
        yield view


def tables(output: str) -> int:
    return output.count("score")


def answers(output: str) -> str:
    return output[output.index("Rows of ") : output.index("Done in")]


def test_the_first_run_ends_by_itself_with_five_answers(
    first: subprocess.CompletedProcess[str],
) -> None:
    assert first.returncode == 0, first.stderr
    assert tables(first.stdout) == QUESTIONS
    assert re.search(
        r"Reviewed alembic \S+ with ruff \S+: [\d,]+ findings in [\d,]+ files", first.stdout
    )
    assert re.search(r"[\d,]+ passages embedded with wordllama", first.stdout)
    assert "nothing" not in first.stdout
    assert "exact" in first.stdout
    assert "through the approximate index" in first.stdout


def test_the_answers_come_from_the_package(first: subprocess.CompletedProcess[str]) -> None:
    rename, script, batch, memory, finding = first.stdout.split("score")[1:]
    assert "ALTER TABLE to rename a table" in rename
    assert "README.rst" in script
    assert "words: alter, batch, sqlite" in batch
    assert "argument default" in memory
    assert "BLE001" in finding


def test_without_a_terminal_the_output_is_plain(first: subprocess.CompletedProcess[str]) -> None:
    assert "\x1b" not in first.stdout + first.stderr
    assert "\r" not in first.stdout + first.stderr
    cells = [line for line in first.stdout.splitlines() if "How do I rename a table?" in line]
    assert len(cells) == 1


def test_the_second_run_skips_everything_in_time(
    second: tuple[subprocess.CompletedProcess[str], float], first: subprocess.CompletedProcess[str]
) -> None:
    finished, seconds = second
    assert finished.returncode == 0, finished.stderr
    assert "The review of alembic" in finished.stdout
    embedded = re.search(r"([\d,]+) passages embedded", first.stdout)
    assert embedded is not None
    assert f"Its documentation: {embedded[1]} passages unchanged, 0 embedded." in finished.stdout
    assert seconds < 20
    assert answers(first.stdout) == answers(finished.stdout)


def test_the_server_is_stopped_afterwards(program: Program, second: object) -> None:
    assert EmbeddedServer.find(program.server) is None


async def test_the_review_is_stored_once_with_its_rows(
    view: ReadUnitOfWork,
) -> None:
    (review,) = await view.reviews.list(where("repo").equals(REPO))
    stats = await view.reviews.stats(REPO)
    assert stats.reviews == 1
    assert stats.findings == review.findings_total > 500
    assert stats.by_severity[Severity.CRITICAL] == review.findings_critical > 0
    assert stats.suppressed == review.suppressions_applied > 0
    suppressions = await view.suppressions.list(where("review_id").equals(review.id))
    assert sum(entry.matched_count for entry in suppressions) == stats.suppressed
    (run,) = await view.runs.list(where("repo").equals(REPO))
    assert (run.status, run.head_sha) == (RunStatus.COMPLETED, review.head_sha)


async def test_findings_have_a_location_a_title_and_a_line(view: ReadUnitOfWork) -> None:
    async for finding in view.findings.stream():
        assert finding.file_path.startswith("alembic/")
        assert re.fullmatch(r".{10,} \([A-Z]+\d+\)", finding.title, re.DOTALL), finding.title
        assert finding.start_line is not None


async def test_the_run_of_the_linter_is_in_the_telemetry(view: ReadUnitOfWork) -> None:
    (usage,) = await view.telemetry.usage(by=UsageBy.MODEL, repo=REPO)
    assert usage.key.startswith("ruff ")
    assert (usage.runs, usage.input_tokens, usage.cost_usd) == (1, 0, Decimal(0))
    assert usage.duration_ms > 0


async def test_passages_have_real_embeddings_and_token_counts(view: ReadUnitOfWork) -> None:
    chunks = await view.knowledge.list(where("repo").equals(REPO), limit=1_000, with_embedding=True)
    assert len(chunks) > 200
    assert {chunk.embedding_model for chunk in chunks} == {embedder.MODEL}
    assert all(chunk.token_count > 0 for chunk in chunks)
    distinct = {tuple(chunk.embedding.to_list()) for chunk in chunks if chunk.embedding is not None}
    assert len(distinct) == len(chunks)


async def test_every_memory_belongs_to_a_finding(view: ReadUnitOfWork) -> None:
    memories = await view.memories.list(where("repo").equals(REPO), limit=1_000)
    ids = [memory.finding_id for memory in memories if memory.finding_id is not None]
    assert len(ids) == len(memories) > 30
    assert len(await view.findings.get_many(ids)) == len(set(ids))
    assert {memory.outcome.value for memory in memories} == {"accepted", "suppressed"}
    assert {memory.embedding_dim for memory in memories} == {embedder.DIMENSIONS}


@pytest.fixture
def recollect(monkeypatch: pytest.MonkeyPatch) -> Recollect:
    """Run a command in this process, which imports the libraries once."""
    for name in targets.NAMES_A_DATABASE:
        monkeypatch.delenv(name, raising=False)
    return lambda *arguments: CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.mark.usefixtures("second")
def test_search_uses_vectors_and_words_in_the_database_of_the_demo(
    program: Program, recollect: Recollect
) -> None:
    finished = recollect(
        "search", "how is a table renamed?", "--limit", "2", "--data-dir", program.data_dir
    )
    assert finished.exit_code == 0, finished.stderr
    assert "rename_table" in finished.stdout
    assert "by vector (v) and by words (w)" in finished.stdout


@pytest.mark.usefixtures("second")
def test_a_question_may_have_bytes_that_are_not_utf_8(
    program: Program, recollect: Recollect
) -> None:
    finished = recollect("search", "rename\udcff table", "--data-dir", program.data_dir)
    assert finished.exit_code == 0, finished.stderr


@pytest.mark.usefixtures("second")
def test_json_of_demo_and_search_has_the_answers_and_the_hits(
    program: Program, recollect: Recollect
) -> None:
    outcome = json.loads(recollect("demo", "--json", "--data-dir", program.data_dir).stdout)
    assert outcome["repo"] == REPO
    assert len(outcome["answers"]) == QUESTIONS
    assert outcome["answers"][0]["hits"][0]["entity"] == "KnowledgeChunk"
    search = recollect(
        "search", "rename a table", "--limit", "2", "--json", "--data-dir", program.data_dir
    )
    hits = json.loads(search.stdout)
    assert hits["by_vector"]
    assert len(hits["passages"]) == 2
    assert hits["passages"][0]["score"] >= hits["passages"][1]["score"]
    assert len(hits["findings"]) <= 2


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "README.md").write_text("# Shop\n\nSells things to people.\n")
    (folder / "money.py").write_text(
        '"""Prices are kept in cents, because floats lose some of them on the way."""\nexec("1")\n'
    )
    return folder


@pytest.mark.usefixtures("second")
def test_a_folder_is_reviewed_too_and_only_changed_passages_are_embedded_again(
    program: Program, recollect: Recollect, shop: Path
) -> None:
    reviewed = recollect("demo", "--source", shop, "--data-dir", program.data_dir)
    assert reviewed.exit_code == 0, reviewed.stderr
    assert "Reviewed shop with ruff" in reviewed.stdout
    assert "2 passages embedded" in reviewed.stdout
    assert "local/shop" in reviewed.stdout
    assert tables(reviewed.stdout) == QUESTIONS
    (shop / "README.md").unlink()
    (shop / "stock.py").write_text(
        '"""What is in the warehouse is counted every night, after the last parcel has left."""\n'
    )
    again = recollect("demo", "--source", shop, "--data-dir", program.data_dir)
    assert "Reviewed shop with ruff" in again.stdout
    assert "Its documentation: 1 passages unchanged, 1 embedded, 1 deleted." in again.stdout


def test_a_folder_without_python_source_ends_with_one_sentence(
    recollect: Recollect, tmp_path: Path
) -> None:
    finished = recollect("demo", "--source", tmp_path, "--data-dir", tmp_path / "data")
    assert (finished.exit_code, finished.stdout) == (1, "")
    assert finished.stderr == f"recollect: {tmp_path} has no Python file\n"
    assert not (tmp_path / "data").exists()


def test_a_database_with_other_embeddings_is_refused(
    recollect: Recollect, servers: dict[int, TestServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", servers[18].clone().get_secret_value())
    refused = recollect("demo", "--use-database-url")
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert f"this database holds embeddings with dimensions {DIMENSIONS}, not 256" in refused.stderr
