"""`recollect eval` on embedded servers."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text
from typer.testing import CliRunner, Result

from repositories import Database
from repositories.cli import targets
from repositories.cli.app import app
from repositories.cli.demo.embedder import SETTINGS
from repositories.cli.evaluation.searching import Kind
from repositories.embedded import EmbeddedServer

if TYPE_CHECKING:
    from repositories.testing.servers import TestServer

TOPICS = (
    "database index planner",
    "bicycle chain gears",
    "violin orchestra concert",
    "tomato basil kitchen",
    "glacier iceberg snow",
)
DOCUMENTS = 400
ESTIMATE = text("SELECT reltuples FROM pg_class WHERE relname = 'knowledge'")

Evaluate = Callable[..., Result]


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Documents about five topics, and a query about each."""
    folder = tmp_path_factory.mktemp("collection")
    documents = [
        {
            "id": number,
            "title": f"Note {number}",
            "text": f"A note on {TOPICS[number % len(TOPICS)]}, page {number}.",
        }
        for number in range(DOCUMENTS)
    ]
    long = {"id": "long", "text": "the theory of everything else " * 20_000}
    lines = map(json.dumps, [*documents, long, {"id": "blank", "title": "", "text": " "}])
    (folder / "documents.jsonl").write_text("\n".join(lines))
    queries = [
        {"id": f"q{number}", "text": f"which notes are on {topic}?"}
        for number, topic in enumerate(TOPICS)
    ]
    (folder / "queries.jsonl").write_text(
        "\n".join(map(json.dumps, [*queries, {"id": "empty", "text": ""}]))
    )
    judgements = [f"q{number % len(TOPICS)}\t{number}\t1" for number in range(DOCUMENTS)]
    (folder / "relevance.tsv").write_text("\n".join(["query\tdocument\tgrade", *judgements]))
    return folder


@pytest.fixture
def evaluate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Evaluate:
    """Run the command with an empty environment; afterwards no temporary folder is left."""
    for name in (*targets.NAMES_A_DATABASE, "RECOLLECT_PORT", "RECOLLECT_PASSWORD"):
        monkeypatch.delenv(name, raising=False)
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))

    def run(*arguments: str | Path) -> Result:
        result = CliRunner().invoke(app, ["eval", *map(str, arguments)])
        assert list(temporary.iterdir()) == []
        return result

    return run


def test_a_collection_is_loaded_searched_and_measured_once_on_a_server_that_stays(
    evaluate: Evaluate, collection: Path, tmp_path: Path
) -> None:
    data_dir = tmp_path / "server"
    result = evaluate(collection, "--json", "--data-dir", data_dir)
    assert result.exit_code == 0, result.stderr
    figures = json.loads(result.stdout)
    assert (figures["documents"], figures["documents_without_embedding"]) == (DOCUMENTS + 2, 1)
    assert (
        figures["queries"],
        figures["queries_without_embedding"],
        figures["queries_with_relevant_documents"],
    ) == (6, 1, 5)
    assert figures["judgements"] == DOCUMENTS
    assert figures["index"]["recall_at_10"] == 1.0
    assert figures["tuning"] is None
    assert figures["load_seconds"] > 0
    assert list(figures["searches"]) == [kind.value for kind in Kind]
    for search in figures["searches"].values():
        # The documents of a topic are the relevant ones; each topic has 80.
        assert search["ndcg_at_10"] == pytest.approx(1.0)
        assert search["recall_at_10"] == pytest.approx(10 / 80)
        assert search["recall_at_100"] == pytest.approx(1.0)
        assert (search["hit_at_1"], search["hit_at_10"], search["mrr"]) == (1.0, 1.0, 1.0)
        assert search["queries_without_result"] == 1
        assert 0 < search["latency_p50_ms"] <= search["latency_p99_ms"]

    again = evaluate(collection, "--data-dir", data_dir)
    assert again.exit_code == 1
    assert "recollect: this database has passages: an evaluation needs an empty one" in again.stderr

    async def count() -> int:
        async with (
            Database.embedded(data_dir / "eval", **SETTINGS) as database,
            database.reader() as view,
        ):
            return await view.knowledge.count()

    assert asyncio.run(count()) == DOCUMENTS + 2
    assert EmbeddedServer.find(data_dir / "eval") is None


def test_an_empty_database_can_be_named(
    evaluate: Evaluate, collection: Path, servers: dict[int, TestServer]
) -> None:
    url = servers[18].empty()
    result = evaluate(collection, "--url", url.get_secret_value())
    assert result.exit_code == 0, result.stderr
    for heading in ("nDCG@10", "recall@10", "hit@1", "hit@10", "MRR", "p99 ms"):
        assert heading in result.stdout
    assert "\x1b" not in result.stdout

    async def look() -> tuple[int, float]:
        async with Database.from_url(url) as database:
            async with database.reader() as view:
                count = await view.knowledge.count()
            async with database.engine.connect() as connection:
                return count, (await connection.execute(ESTIMATE)).scalar_one()

    # The planner's estimate is exact after ANALYZE.
    assert asyncio.run(look()) == (DOCUMENTS + 2, DOCUMENTS + 2)


def test_a_database_with_other_embeddings_is_refused(
    evaluate: Evaluate, collection: Path, servers: dict[int, TestServer]
) -> None:
    result = evaluate(collection, "--url", servers[18].clone().get_secret_value())
    assert result.exit_code == 1
    assert "this database holds embeddings with dimensions 8, not 256: use a model" in result.stderr


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ('{"id": 1, "text": "twice"}', "documents.jsonl:403: another document has this id"),
        ('{"id": "last"', "documents.jsonl:403: not valid JSON"),
    ],
)
def test_an_invalid_document_ends_the_command_with_one_sentence(
    evaluate: Evaluate, collection: Path, tmp_path: Path, line: str, sentence: str
) -> None:
    for file in collection.iterdir():
        (tmp_path / file.name).write_text(
            file.read_text() + (f"\n{line}" if file.name == "documents.jsonl" else "")
        )
    result = evaluate(tmp_path)
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1] == f"recollect: {sentence}"


def test_invalid_arguments_are_refused_before_a_server_starts(
    evaluate: Evaluate, collection: Path, tmp_path: Path
) -> None:
    def error_of(*arguments: str | Path) -> str:
        result = evaluate(*arguments)
        assert result.exit_code == 1
        return str(result.stderr)

    assert error_of(tmp_path / "nowhere") == f"recollect: {tmp_path / 'nowhere'} is not a folder\n"
    assert error_of(tmp_path) == f"recollect: {tmp_path} has no file documents.jsonl\n"
    assert "pass one of them" in error_of(
        collection, "--url", "postgresql://localhost/x", "--data-dir", tmp_path
    )
    refused = error_of(collection, "--url", "postgresql://user:secret@localhost:99999/x")
    assert "secret" not in refused


def test_without_the_embedder_the_error_says_what_to_install(
    evaluate: Evaluate, collection: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("repositories.cli.demo.embedder.is_installed", lambda: False)
    result = evaluate(collection)
    assert result.exit_code == 1
    assert "pip install 'recollect[demo]'" in result.stderr


def test_a_collection_from_history_is_evaluated_with_an_embedder_and_tuned(
    evaluate: Evaluate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("repositories.cli.evaluation.tuning.CANDIDATES", (40,))
    monkeypatch.setattr("repositories.cli.evaluation.tuning.STEPS", 2)
    monkeypatch.setattr("repositories.cli.evaluation.tuning.K1", (1.2, 2.0))
    monkeypatch.setattr("repositories.cli.evaluation.tuning.B", (0.75,))
    monkeypatch.setattr("repositories.cli.evaluation.measuring.REPETITIONS", 1)
    write_history(tmp_path / "project", changes=40)
    target = ("--output", tmp_path / "collection", "--base", "HEAD~40")
    built = evaluate("from-history", tmp_path / "project", *target)
    assert built.exit_code == 0, built.stderr
    assert "40 of 40 later commits" in built.stdout
    assert f"next: recollect eval {tmp_path / 'collection'}" in built.stderr
    (tmp_path / "letters.py").write_text(EMBEDDER)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    arguments = (tmp_path / "collection", "--embedder", "letters:Letters", "--tune")
    drawn = tmp_path / "figures.svg"
    result = evaluate(*arguments, "--plot", drawn)
    assert result.exit_code == 0, result.stderr
    assert "letters, 26 dimensions" in result.stdout
    assert "RECOLLECT_VECTOR_WEIGHT=" in result.stdout
    assert drawn.read_text().startswith("<svg")


EMBEDDER = """
class Letters:
    provider, model, dimensions = "test", "letters", 26

    async def embed(self, texts):
        letters = "abcdefghijklmnopqrstuvwxyz"
        return [[1 + text.lower().count(letter) for letter in letters] for text in texts]
"""


def write_history(folder: Path, *, changes: int) -> None:
    """Write a repository: a file for each change, and then the changes."""
    folder.mkdir()

    def git(*arguments: str) -> None:
        identity = ("-c", "user.name=A", "-c", "user.email=a@example.com")
        subprocess.run(["git", *identity, "-C", str(folder), *arguments], check=True)

    git("init", "--quiet", "--initial-branch=main")
    for number in range(changes):
        (folder / f"module{number}.go").write_text(f"func f{number}() {{\n\tx()\n}}\n")
    git("add", "--all")
    git("commit", "--quiet", "-m", "Add the modules of the program")
    for number in range(changes):
        (folder / f"module{number}.go").write_text(f"func f{number}() {{\n\ty()\n}}\n")
        git("commit", "--quiet", "--all", "-m", f"Call y in function f{number}")
