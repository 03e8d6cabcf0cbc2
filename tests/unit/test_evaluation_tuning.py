"""Settings that are chosen on one half of the queries."""

from __future__ import annotations

import io
import json
import random
import re
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from pgvector import Vector
from rich.console import Console

from domain import ConfigurationError, InvalidInput, VectorLike
from repositories import FakeDatabase
from repositories.cli.evaluation.collection import Collection
from repositories.cli.evaluation.embedders import load_embedder
from repositories.cli.evaluation.plots import picture
from repositories.cli.evaluation.program import Evaluation
from repositories.cli.evaluation.report import Report
from repositories.cli.evaluation.searching import Searcher
from repositories.cli.evaluation.tuning import Halves, best_weight

DIMENSIONS = 48
QUERIES = 40


class RandomVectors:
    """An embedder whose vectors have nothing to do with the texts."""

    provider, model, dimensions = "test", "random", DIMENSIONS

    async def embed(self, texts: Sequence[str]) -> Sequence[VectorLike]:
        return [self._vector(text) for text in texts]

    def _vector(self, seed: str) -> Vector:
        chance = random.Random(seed)
        return Vector([chance.gauss(0, 1) for _ in range(DIMENSIONS)])


class Perfect(RandomVectors):
    """An embedder that knows the topic of a text: its first number."""

    model = "perfect"

    def _vector(self, seed: str) -> Vector:
        number = re.search(r"\d+", seed)
        return super()._vector("" if number is None else number[0])


def collection(folder: Path, *, misleading: bool = False, queries: int = QUERIES) -> Collection:
    """A document for each query; its words are in the query, or those of another document are."""
    shift = int(misleading)
    documents = [{"id": n, "text": f"item{n} fruit{n} and more"} for n in range(queries)]
    questions = [
        {"id": f"q{n}", "text": f"ask{n} fruit{(n + shift) % queries}"} for n in range(queries)
    ]
    for name, lines in (("documents", documents), ("queries", questions)):
        (folder / f"{name}.jsonl").write_text("\n".join(map(json.dumps, lines)))
    (folder / "relevance.tsv").write_text("".join(f"q{n}\t{n}\t1\n" for n in range(queries)))
    return Collection(folder)


async def tune(collection: Collection, embedder: RandomVectors) -> Report:
    database = FakeDatabase(dimensions=DIMENSIONS, provider="test", model=embedder.model)

    async def exact(vector: Vector, limit: int) -> list[str]:
        async with database.reader() as view:
            hits = await view.knowledge.vector_search(vector, limit=limit)
            return [hit.item.chunk_id for hit in hits]

    @asynccontextmanager
    async def open_with(_: Mapping[str, Any]) -> AsyncIterator[Searcher]:
        yield Searcher(database=database, exact=exact)

    async def analyze() -> None:
        """Do nothing: the fake has no planner."""

    return await Evaluation(
        database=database,
        embedder=embedder,
        collection=collection,
        console=Console(file=io.StringIO()),
        analyze=analyze,
        exact=exact,
        open_with=open_with,
        current={"ef_search": 64, "vector_weight": 0.3},
    ).run()


@pytest.fixture(autouse=True)
def few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("repositories.cli.evaluation.tuning.STEPS", 4)
    monkeypatch.setattr("repositories.cli.evaluation.measuring.REPETITIONS", 1)


async def test_random_vectors_get_a_weight_near_0(tmp_path: Path) -> None:
    tuning = (await tune(collection(tmp_path), RandomVectors())).tuning
    assert tuning is not None
    assert tuning.settings["vector_weight"] <= 0.1
    assert tuning.after.tuning == tuning.after.held_out == 1.0


async def test_perfect_vectors_get_a_weight_near_1(tmp_path: Path) -> None:
    report = await tune(collection(tmp_path, misleading=True), Perfect())
    tuning = report.tuning
    assert tuning is not None
    assert tuning.settings["vector_weight"] >= 0.9
    assert tuning.before.held_out <= tuning.after.held_out == 1.0
    assert (tuning.queries, len(tuning.curve)) == (QUERIES, 5)
    assert tuning.environment()[-1] == f"RECOLLECT_VECTOR_WEIGHT={tuning.settings['vector_weight']}"
    assert json.loads(json.dumps(report.as_json()))["tuning"]["settings"] == tuning.settings
    drawn = ElementTree.fromstring(picture(report))
    assert sum(node.tag.endswith("polyline") for node in drawn.iter()) == 2
    assert "vector, exact" in "".join(drawn.itertext())


async def test_too_few_judged_queries_are_refused_before_the_load(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"at least 40 queries .* this collection has 39"):
        await tune(collection(tmp_path, queries=39), RandomVectors())


def test_a_weight_changes_only_if_that_helps() -> None:
    def curve(*qualities: float) -> list[tuple[float, Halves]]:
        steps = len(qualities) - 1
        return [
            (step / steps, Halves(tuning=quality, held_out=0))
            for step, quality in enumerate(qualities)
        ]

    assert best_weight(curve(0.3, 0.5, 0.5, 0.2, 0.1), 0.5) == 0.5
    assert best_weight(curve(0.3, 0.5, 0.4, 0.2, 0.1), 0.5) == 0.25
    assert best_weight(curve(0.5, 0.5, 0.5, 0.2, 0.1), 0.5) == 0.0
    assert best_weight(curve(0.1, 0.5, 0.9, 0.9, 0.9), 0.5) == 1.0


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("nothing", "write package.module:factory"),
        ("no_such_module:make", "cannot be imported"),
        ("json:no_such_function", "json has no no_such_function"),
        ("json:__name__", "cannot be called"),
        ("builtins:dict", "returns no embedder: provider, model, dimensions, embed missing"),
    ],
)
def test_a_name_that_is_no_embedder_is_refused(name: str, sentence: str) -> None:
    with pytest.raises(ConfigurationError, match=sentence):
        load_embedder(name)


def test_an_embedder_of_the_current_folder_can_be_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own_embedder.py").write_text(
        "class Own:\n    provider, model, dimensions = 'own', 'm', 3\n"
        "    async def embed(self, texts):\n        return [[1, 0, 0] for _ in texts]\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    assert load_embedder("own_embedder:Own").dimensions == 3
