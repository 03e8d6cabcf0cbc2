"""`recollect eval` as a program, on embedded servers of its own."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner, Result

from repositories import Database
from repositories.cli import targets as places
from repositories.cli.app import app
from repositories.cli.demo.command import EMBEDDING
from repositories.cli.evaluation.measuring import Kind
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

Evaluate = Callable[..., Result]


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Documents about five things, and a question about each."""
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
    (folder / "relevance.tsv").write_text(
        "\n".join(["query\tdocument\tgrade", *judgements, "q0\tmissing\t0"])
    )
    return folder


@pytest.fixture
def evaluate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Evaluate:
    """Run the command with nothing set, and temporary folders where the test can see them."""
    for name in (*places.NAMES_A_DATABASE, "RECOLLECT_PORT", "RECOLLECT_PASSWORD"):
        monkeypatch.delenv(name, raising=False)
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))

    def run(*arguments: str | Path) -> Result:
        result = CliRunner().invoke(app, ["eval", *map(str, arguments)])
        assert list(temporary.iterdir()) == []
        return result

    return run


def test_a_collection_is_loaded_searched_and_rated(
    evaluate: Evaluate, collection: Path, tmp_path: Path
) -> None:
    result = evaluate(collection, "--json", tmp_path / "figures.json")
    assert result.exit_code == 0, result.stderr
    assert "nDCG@10" in result.stdout
    assert "\x1b" not in result.stdout
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert (figures["documents"], figures["documents_without_embedding"]) == (DOCUMENTS + 2, 1)
    assert (
        figures["queries"],
        figures["queries_without_embedding"],
        figures["queries_with_relevant_documents"],
    ) == (6, 1, 5)
    assert (figures["judgements"], figures["judgements_of_unknown_documents"]) == (DOCUMENTS + 1, 1)
    assert figures["load_seconds"] > 0
    assert list(figures["searches"]) == [kind.value for kind in Kind]
    for found in figures["searches"].values():
        # Every document of a topic answers its question, and nothing else does.
        assert found["ndcg_at_10"] == pytest.approx(1.0)
        assert found["recall_at_100"] == pytest.approx(1.0)
        assert found["queries_without_result"] == 1
        assert 0 < found["latency_p50_ms"] <= found["latency_p99_ms"]


def test_a_folder_for_the_server_keeps_it_and_is_used_once(
    evaluate: Evaluate, collection: Path, tmp_path: Path
) -> None:
    data_dir = tmp_path / "kept"
    assert evaluate(collection, "--data-dir", data_dir).exit_code == 0
    again = evaluate(collection, "--data-dir", data_dir)
    assert again.exit_code == 1
    assert (
        "recollect: this database holds passages already: an evaluation needs an empty one"
        in again.stderr
    )

    async def count() -> int:
        async with (
            Database.embedded(data_dir / "eval", **EMBEDDING) as database,
            database.reader() as view,
        ):
            return await view.knowledge.count()

    assert asyncio.run(count()) == DOCUMENTS + 2
    assert EmbeddedServer.find(data_dir / "eval") is None


def test_an_empty_database_is_used_where_one_is_named(
    evaluate: Evaluate, collection: Path, servers: dict[int, TestServer]
) -> None:
    url = servers[18].empty()
    assert evaluate(collection, "--url", url.get_secret_value()).exit_code == 0

    async def count() -> int:
        async with Database.from_url(url) as database, database.reader() as view:
            return await view.knowledge.count()

    assert asyncio.run(count()) == DOCUMENTS + 2


def test_a_database_with_other_embeddings_is_refused(
    evaluate: Evaluate, collection: Path, servers: dict[int, TestServer]
) -> None:
    result = evaluate(collection, "--url", servers[18].clone().get_secret_value())
    assert result.exit_code == 1
    assert result.stderr == "recollect: this database holds embeddings with dimensions 8, not 256\n"


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ('{"id": 1, "text": "twice"}', "documents.jsonl:403: another document has this id"),
        ('{"id": "last"', "documents.jsonl:403: this is not JSON"),
    ],
)
def test_a_document_that_cannot_be_loaded_ends_it_in_one_sentence(
    evaluate: Evaluate, collection: Path, tmp_path: Path, line: str, sentence: str
) -> None:
    for file in collection.iterdir():
        (tmp_path / file.name).write_text(
            file.read_text() + (f"\n{line}" if file.name == "documents.jsonl" else "")
        )
    result = evaluate(tmp_path)
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1] == f"recollect: {sentence}"


def test_what_cannot_be_done_is_told_before_a_server_starts(
    evaluate: Evaluate, collection: Path, tmp_path: Path
) -> None:
    def told(*arguments: str | Path) -> str:
        result = evaluate(*arguments)
        assert result.exit_code == 1
        return str(result.stderr)

    assert told(tmp_path / "nowhere") == f"recollect: {tmp_path / 'nowhere'} is not a folder\n"
    assert told(tmp_path) == f"recollect: there is no documents.jsonl in {tmp_path}\n"
    assert "there is no folder" in told(collection, "--json", tmp_path / "no" / "figures.json")
    assert "give one of them" in told(
        collection, "--url", "postgresql://localhost/x", "--data-dir", tmp_path
    )
    assert "secret" not in told(collection, "--url", "postgresql://user:secret@localhost:99999/x")


def test_it_says_what_to_install_where_the_embedder_is_missing(
    evaluate: Evaluate, collection: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("repositories.cli.demo.embedder.is_installed", lambda: False)
    result = evaluate(collection)
    assert result.exit_code == 1
    assert "pip install 'recollect[demo]'" in result.stderr
