"""`recollect eval`."""

from __future__ import annotations

import asyncio
import shlex
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from domain.errors import ConfigurationError
from repositories.cli import targets
from repositories.cli.exit_codes import Group
from repositories.cli.options import DATA_DIR, ConnectDeadline, Json
from repositories.cli.output import note, result, show

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping

    from domain import Embedder
    from repositories.cli.evaluation.collection import Collection
    from repositories.cli.evaluation.report import Report
    from repositories.cli.evaluation.searching import Searcher
    from repositories.postgres.settings import Settings

TUNED: Final = ("bm25_k1", "bm25_b", "ef_search", "vector_weight")
"""The settings that `--tune` chooses, where they exist."""

DEFAULT: Final = "run"
EVAL: Final = "eval"
"""The folder of the embedded server in the folder that `--data-dir` names."""

Folder = Annotated[
    Path,
    typer.Argument(
        metavar="DIR", help="Folder with documents.jsonl, queries.jsonl and relevance.tsv."
    ),
]
EmbedderName = Annotated[
    str | None,
    typer.Option(
        "--embedder",
        metavar="MODULE:FACTORY",
        help="Function that returns the embedder.",
        show_default="the static word vectors of the demo",
    ),
]
Tune = Annotated[
    bool,
    typer.Option(
        "--tune", help="Choose settings on one half of the queries, and print them to copy."
    ),
]
Plot = Annotated[
    Path | None, typer.Option("--plot", metavar="FILE", help="Draw the figures into an SVG file.")
]
Repository = Annotated[
    Path, typer.Argument(metavar="PATH", help="A git repository with its whole history.")
]
Output = Annotated[
    Path | None,
    typer.Option(
        "--output",
        metavar="DIR",
        help="Write the collection into this folder.",
        show_default="NAME-history in the current folder",
    ),
]
Queries = Annotated[
    int, typer.Option("--queries", min=10, help="Largest number of queries.", show_default=True)
]
Base = Annotated[
    str | None,
    typer.Option(
        "--base",
        metavar="COMMIT",
        help="The commit whose files are searched.",
        show_default="one with enough commits after it",
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


class DefaultCommand(Group):
    """A group whose command `run` needs no name: `eval DIR` is `eval run DIR`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Insert the name of the default command unless the arguments name one."""
        if args and args[0] not in {*self.commands, "--help"}:
            args = [DEFAULT, *args]
        return super().parse_args(ctx, args)


def evaluate(
    dir: Folder,
    url: Url = None,
    data_dir: DataDir = None,
    embedder: EmbedderName = None,
    tune: Tune = False,
    plot: Plot = None,
    connect_deadline: ConnectDeadline = None,
    as_json: Json = False,
) -> None:
    """Measure the quality and latency of search.

    The command loads and embeds a collection with relevance judgements into an empty database, and
    measures keyword, vector and hybrid search. The database is a temporary embedded server, unless
    you name another one.
    """
    from repositories.cli.evaluation.collection import Collection
    from repositories.cli.evaluation.embedders import load_embedder, settings_of
    from repositories.cli.evaluation.plots import picture

    collection = Collection(dir.expanduser())
    collection.require_complete()
    model = load_embedder(embedder)
    with _empty_database(url, data_dir, connect_deadline) as connection:
        settings = connection.model_copy(update=dict(settings_of(model)))
        report = asyncio.run(_evaluate(settings, model, collection, tune=tune))
    if plot is not None:
        plot.write_text(picture(report), encoding="utf-8")
    if as_json:
        result("", report.as_json(), as_json=True)
    else:
        _show(report)


def from_history(
    repository: Repository,
    output: Output = None,
    queries: Queries = 200,
    base: Base = None,
    as_json: Json = False,
) -> None:
    """Build a collection from the history of a git repository.

    The documents are passages of the source files at an earlier commit of the main line. The
    queries are the subjects of later commits that change few source files. The passages that a
    commit changes are the relevant ones. No judgement by people is necessary.
    """
    from rich.console import Console

    from repositories.cli.evaluation.history.building import build
    from repositories.cli.evaluation.history.git import GitRepository
    from repositories.cli.progress import progress_bars

    source = GitRepository.open(repository.expanduser())
    folder = Path(f"{source.name}-history") if output is None else output.expanduser()
    with progress_bars(Console(stderr=True)) as progress:
        task = progress.add_task("Reading commits", total=None)
        history = build(
            source,
            folder,
            queries=queries,
            base=base,
            advance=lambda done, total: progress.update(task, completed=done, total=total),
        )
    if as_json:
        result("", {"folder": str(folder), **history.as_json()}, as_json=True)
        return
    from repositories.cli.tables import figures_table

    show(figures_table("Collection", history.figures()))
    show(figures_table("Commits without a query", history.dropped_figures()))
    note(f"next: recollect eval {shlex.quote(str(folder))}")


def _show(report: Report) -> None:
    from repositories.cli.tables import figures_table

    show(figures_table("Collection", report.collection_figures()))
    show(report.table())
    show(figures_table("Vector index against exact search", report.index_figures()))
    if report.tuning is not None:
        show(report.tuning_table(report.tuning))
        result("\n".join(report.tuning.environment()), {}, as_json=False)


@contextmanager
def _empty_database(
    url: str | None, data_dir: Path | None, deadline: float | None
) -> Iterator[Settings]:
    from repositories.embedded import EmbeddedServer

    if url is not None and data_dir is not None:
        raise ConfigurationError("--url and --data-dir name two databases; pass one of them")
    if url is not None:
        with targets.reach(DATA_DIR, url=url, deadline=deadline) as target:
            yield target.settings
    elif data_dir is not None:
        folder = data_dir / EVAL
        note(f"starting {targets.embedded_in(folder)}")
        with EmbeddedServer.start(folder) as server:
            yield targets.settings_for(server.url)
    else:
        note("starting an embedded server in a temporary folder")
        with targets.temporary() as settings:
            yield settings


async def _evaluate(
    settings: Settings, embedder: Embedder, collection: Collection, *, tune: bool
) -> Report:
    from rich.console import Console
    from sqlalchemy import text

    from repositories.cli.evaluation.program import Evaluation
    from repositories.cli.evaluation.searching import Searcher, exact_search
    from repositories.database import Database

    @asynccontextmanager
    async def open_with(changed: Mapping[str, Any]) -> AsyncIterator[Searcher]:
        async with Database(settings.model_copy(update=dict(changed))) as database:
            yield Searcher(database=database, exact=exact_search(database))

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
            exact=exact_search(database),
            open_with=open_with if tune else None,
            current={name: value for name, value in settings if name in TUNED},
        ).run()
