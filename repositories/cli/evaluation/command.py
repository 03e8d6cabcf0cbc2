"""`recollect eval`."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from domain.errors import ConfigurationError
from repositories.cli import targets
from repositories.cli.options import DATA_DIR, ConnectDeadline, Json
from repositories.cli.output import note, result, show

if TYPE_CHECKING:
    from collections.abc import Iterator

    from repositories.cli.demo.embedder import WordLlamaEmbedder
    from repositories.cli.evaluation.collection import Collection
    from repositories.cli.evaluation.report import Report
    from repositories.postgres.settings import Settings

EVAL: Final = "eval"
"""The folder of the embedded server in the folder that `--data-dir` names."""

Folder = Annotated[
    Path,
    typer.Argument(
        metavar="DIR", help="Folder with documents.jsonl, queries.jsonl and relevance.tsv."
    ),
]
Url = Annotated[
    str | None,
    typer.Option(
        "--url", metavar="URL", help="Use this empty database.", show_default="a temporary server"
    ),
]
DataDir = Annotated[
    Path | None,
    typer.Option("--data-dir", help="Use an embedded server in this folder, and do not delete it."),
]


def evaluate(
    dir: Folder,
    url: Url = None,
    data_dir: DataDir = None,
    connect_deadline: ConnectDeadline = None,
    as_json: Json = False,
) -> None:
    """Measure the quality and latency of search.

    The command loads and embeds a collection with relevance judgements into an empty database, and
    measures keyword, vector and hybrid search. The database is a temporary embedded server, unless
    you name another one.
    """
    from repositories.cli.demo.embedder import WordLlamaEmbedder
    from repositories.cli.evaluation.collection import Collection
    from repositories.cli.tables import figures_table

    collection = Collection(dir.expanduser())
    collection.require_complete()
    embedder = WordLlamaEmbedder.load()
    with _empty_database(url, data_dir, connect_deadline) as settings:
        report = asyncio.run(_evaluate(settings, embedder, collection))
    if as_json:
        result("", report.as_json(), as_json=True)
    else:
        show(figures_table("Collection", report.collection_figures()))
        show(report.table())


@contextmanager
def _empty_database(
    url: str | None, data_dir: Path | None, deadline: float | None
) -> Iterator[Settings]:
    from repositories.cli.demo.embedder import SETTINGS
    from repositories.embedded import EmbeddedServer

    if url is not None and data_dir is not None:
        raise ConfigurationError("--url and --data-dir name two databases; pass one of them")
    if url is not None:
        with targets.reach(DATA_DIR, url=url, deadline=deadline) as target:
            yield target.settings.model_copy(update=SETTINGS)
    elif data_dir is not None:
        folder = data_dir / EVAL
        note(f"starting {targets.embedded_in(folder)}")
        with EmbeddedServer.start(folder) as server:
            yield targets.settings_for(server.url).model_copy(update=SETTINGS)
    else:
        note("starting an embedded server in a temporary folder")
        with targets.temporary() as settings:
            yield settings.model_copy(update=SETTINGS)


async def _evaluate(
    settings: Settings, embedder: WordLlamaEmbedder, collection: Collection
) -> Report:
    from rich.console import Console
    from sqlalchemy import text

    from repositories.cli.evaluation.program import Evaluation
    from repositories.database import Database

    async with Database(settings, migrate=True) as database:

        async def analyze() -> None:
            async with database.engine.begin() as connection:
                await connection.execute(text("ANALYZE knowledge"))

        return await Evaluation(
            database=database,
            embedder=embedder,
            collection=collection,
            console=Console(stderr=True),
            analyze=analyze,
        ).run()
