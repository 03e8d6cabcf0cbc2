"""`recollect eval`."""

from __future__ import annotations

import asyncio
import json
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from pydantic import SecretStr
from rich.console import Console

from domain import ConfigurationError
from repositories.cli import targets as places
from repositories.cli.demo.command import EMBEDDING
from repositories.cli.demo.embedder import WordLlamaEmbedder
from repositories.cli.evaluation.collection import Collection
from repositories.cli.evaluation.program import Evaluation
from repositories.cli.output import note, results
from repositories.cli.tables import figures_table
from repositories.database import Database
from repositories.embedded import EmbeddedServer
from repositories.postgres.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from repositories.cli.evaluation.report import Report

EVAL: Final = "eval"
"""The folder of the embedded server that `--data-dir` keeps."""

Folder = Annotated[
    Path,
    typer.Argument(
        metavar="DIR", help="Folder with documents.jsonl, queries.jsonl and relevance.tsv."
    ),
]
JsonFile = Annotated[
    Path | None, typer.Option("--json", metavar="FILE", help="Also write the figures as JSON.")
]
Url = Annotated[
    str | None,
    typer.Option("--url", help="Use this empty database.", show_default="a temporary server"),
]
Kept = Annotated[
    Path | None,
    typer.Option("--data-dir", help="Use an embedded server in this folder, and keep it."),
]


def evaluate(
    dir: Folder, json_file: JsonFile = None, url: Url = None, data_dir: Kept = None
) -> None:
    """Measure how well keyword, vector and hybrid search find what a test collection asks for, and
    how fast.

    The collection is loaded into a fresh database and embedded. An embedded server in a temporary
    folder holds it, and is deleted at the end, unless another place is named.
    """
    collection = Collection(dir.expanduser())
    collection.require_complete()
    if json_file is not None and not json_file.absolute().parent.is_dir():
        raise ConfigurationError(f"there is no folder {json_file.parent} to write the figures to")
    embedder = WordLlamaEmbedder.load()
    with _fresh(url, data_dir) as settings:
        report = asyncio.run(_evaluate(settings, embedder, collection))
    if json_file is not None:
        json_file.write_text(json.dumps(report.as_json(), indent=2) + "\n", encoding="utf-8")
    console = results()
    console.print(figures_table("Collection", report.facts()))
    console.print(report.table())


@contextmanager
def _fresh(url: str | None, data_dir: Path | None) -> Iterator[Settings]:
    if url is not None and data_dir is not None:
        raise ConfigurationError("--url and --data-dir name two databases: give one of them")
    if url is not None:
        yield places.at(SecretStr(url)).model_copy(update=EMBEDDING)
    elif data_dir is not None:
        folder = data_dir / EVAL
        note(f"starting {places.embedded_in(folder)}")
        with EmbeddedServer.start(folder) as server:
            yield places.at(server.url).model_copy(update=EMBEDDING)
    else:
        note("starting an embedded server in a temporary folder")
        with places.temporary() as settings:
            yield settings.model_copy(update=EMBEDDING)


async def _evaluate(
    settings: Settings, embedder: WordLlamaEmbedder, collection: Collection
) -> Report:
    async with Database(settings, migrate=True) as database:
        return await Evaluation(
            database=database,
            embedder=embedder,
            collection=collection,
            console=Console(stderr=True),
        ).run()
