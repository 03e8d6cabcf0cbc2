"""`recollect demo` and `recollect search`."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from domain.errors import ConfigurationError, EmbeddingMismatch
from repositories.cli import targets
from repositories.cli.options import DATA_DIR, ConnectDeadline, DataDir, Json, Url
from repositories.cli.output import note, result, results, show
from repositories.cli.sanitizing import storable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from domain import Finding, KnowledgeChunk, SearchHits, Vector
    from repositories.cli.demo.embedder import WordLlamaEmbedder
    from repositories.cli.demo.source import Source
    from repositories.database import Database
    from repositories.postgres.settings import Settings

SourcePath = Annotated[
    Path | None,
    typer.Option("--source", help="Folder with Python source.", show_default="a package"),
]
UseEnvironment = Annotated[
    bool,
    typer.Option("--use-database-url", help="Write to the database that the environment names."),
]
Text = Annotated[str, typer.Argument(help="Words or a sentence to search for.")]
Limit = Annotated[int, typer.Option("--limit", min=1, max=100, help="Results of each kind.")]


def demo(
    source_path: SourcePath = None,
    url: Url = None,
    data_dir: DataDir = DATA_DIR,
    use_database_url: UseEnvironment = False,
    connect_deadline: ConnectDeadline = None,
    as_json: Json = False,
) -> None:
    """Review Python source, and search the results.

    A linter reviews the source. The demo stores the review and the documentation of the source in
    an embedded server of its own, and answers five questions. A second run skips what is stored
    already.
    """
    from repositories.cli.demo import linter, source
    from repositories.cli.demo.embedder import WordLlamaEmbedder

    if use_database_url and url is not None:
        raise ConfigurationError("--use-database-url and --url exclude each other; pass one")
    linter.require_linter()
    chosen = source.installed_package() if source_path is None else source.folder(source_path)
    embedder = WordLlamaEmbedder.load()
    with _storage(data_dir, url, connect_deadline, environment=use_database_url) as settings:
        asyncio.run(_demonstrate(settings, chosen, embedder, as_json=as_json))


def search(
    text: Text,
    limit: Limit = 5,
    url: Url = None,
    data_dir: DataDir = DATA_DIR,
    connect_deadline: ConnectDeadline = None,
    as_json: Json = False,
) -> None:
    """Search passages and findings.

    The command searches by words, and by vector too if the embeddings are the demo's. It uses the
    database that `--url` or the environment names, or else the demo's, or else the one that `db up`
    started.
    """
    if not text.strip():
        raise ConfigurationError("the text to search for is blank")
    text = storable(text)  # An argument can have bytes that are not UTF-8.
    with _searched(data_dir, url, connect_deadline) as database:
        asyncio.run(_search(database, text, limit, as_json=as_json))


@contextmanager
def _own_server(data_dir: Path) -> Iterator[Settings]:
    from repositories.cli.demo.embedder import SETTINGS
    from repositories.embedded import EmbeddedServer
    from repositories.postgres.settings import Settings

    folder = data_dir / targets.DEMO
    note(f"starting {targets.embedded_in(folder)}")
    with EmbeddedServer.start(folder) as server:
        yield Settings(url=server.url, **SETTINGS)


@contextmanager
def _storage(
    data_dir: Path, url: str | None, deadline: float | None, *, environment: bool
) -> Iterator[Settings]:
    """Yield the settings of the database that the demo writes to."""
    from repositories.cli.demo.embedder import SETTINGS

    if url is None and not environment:
        with _own_server(data_dir) as settings:
            yield settings
        return
    if url is None and targets.named_in_environment() is None:
        raise ConfigurationError("the environment names no database: set DATABASE_URL")
    with targets.reach(data_dir, url=url, deadline=deadline) as target:
        yield target.settings.model_copy(update=SETTINGS)


@contextmanager
def _searched(data_dir: Path, url: str | None, deadline: float | None) -> Iterator[Database]:
    from repositories.database import Database

    named = url is not None or targets.named_in_environment() is not None
    if not named and (data_dir / targets.DEMO).is_dir():
        with _own_server(data_dir) as settings:
            yield Database(settings, migrate=True)
    else:
        with targets.reach(data_dir, url=url, deadline=deadline) as target:
            note(f"searching {target.label}")
            yield Database(target.settings)


async def _demonstrate(
    settings: Settings, source: Source, embedder: WordLlamaEmbedder, *, as_json: bool
) -> None:
    from rich.console import Console

    from repositories.cli.demo.program import Demo
    from repositories.database import Database

    console = Console(stderr=True) if as_json else results()
    async with Database(settings, migrate=True) as database:
        demonstration = Demo(database=database, embedder=embedder, source=source, console=console)
        outcome = await demonstration.run()
    if as_json:
        result("", outcome.as_json(), as_json=True)
    else:
        outcome.show(console)


async def _search(closed: Database, text: str, limit: int, *, as_json: bool) -> None:
    async with closed as database:
        embedding = await _embedded(database, text)
        async with database.reader() as view:
            if embedding is None:
                passages = await view.knowledge.keyword_search(text, limit=limit, explain=True)
            else:
                passages = await view.knowledge.hybrid_search(text, embedding, limit=limit)
            findings = await view.findings.keyword_search(text, limit=limit, explain=True)
    _show(passages, findings, as_json=as_json, by_vector=embedding is not None)


def _show(
    passages: SearchHits[KnowledgeChunk],
    findings: SearchHits[Finding],
    *,
    as_json: bool,
    by_vector: bool,
) -> None:
    from repositories.cli.demo.questions import Method
    from repositories.cli.tables import hit_table, hits_json

    how = Method.PASSAGES if by_vector else Method.PASSAGE_WORDS
    if as_json:
        figures = {
            "by_vector": by_vector,
            "passages": hits_json(passages),
            "findings": hits_json(findings),
        }
        result("", figures, as_json=True)
        return
    show(hit_table("Passages", passages, exact=passages.exact, how=how))
    show(hit_table("Findings", findings, exact=findings.exact, how=Method.FINDINGS))


async def _embedded(database: Database, text: str) -> Vector | None:
    """Return the embedding of the text.

    It is None, after a note, if it cannot be compared with the embeddings of the database.
    """
    from domain.values.embedders import embed_texts
    from repositories.cli.demo import embedder

    if not embedder.is_installed():
        note(
            "searching by words only: embeddings need the extra demo, pip install 'recollect[demo]'"
        )
        return None
    try:
        async with database.reader() as view:
            await view.embedding_metadata.check_compatible(
                provider=embedder.PROVIDER, model=embedder.MODEL, dimensions=embedder.DIMENSIONS
            )
    except EmbeddingMismatch as mismatch:
        note(f"searching by words only: {mismatch}")
        return None
    [embedding] = await embed_texts(embedder.WordLlamaEmbedder.load(), [text])
    if embedding is None:
        note("searching by words only: the model knows no word of the query")
    return embedding
