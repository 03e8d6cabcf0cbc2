"""`recollect demo` and `recollect search`."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from domain import ConfigurationError, EmbeddingMismatch
from repositories.cli import targets as places
from repositories.cli.demo import embedder, linter, source
from repositories.cli.demo.embedder import WordLlamaEmbedder
from repositories.cli.demo.program import Demo
from repositories.cli.demo.questions import Ask
from repositories.cli.output import note, results
from repositories.cli.tables import hit_table
from repositories.cli.targets import DATA_DIR, DataDir
from repositories.database import Database
from repositories.embedded import EmbeddedServer
from repositories.postgres.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from domain import VectorLike

EMBEDDING: Final[Mapping[str, Any]] = {
    "embedding_provider": embedder.PROVIDER,
    "embedding_model": embedder.MODEL,
    "embedding_dimensions": embedder.DIMENSIONS,
}

SourcePath = Annotated[
    Path | None,
    typer.Option("--source", help="Folder with Python source.", show_default="a package"),
]
Here = Annotated[
    bool,
    typer.Option("--use-database-url", help="Write to the database that the environment names."),
]
Words = Annotated[str, typer.Argument(help="What to look for, in plain words.")]
Limit = Annotated[int, typer.Option("--limit", min=1, max=100, help="Results of each kind.")]


def demo(
    source_path: SourcePath = None, data_dir: DataDir = DATA_DIR, use_database_url: Here = False
) -> None:
    """Review a real package with a real linter, remember it with its documentation, and ask five
    questions.

    It is kept in an embedded server of its own; a second run recognises what it has seen.
    """
    linter.require_linter()
    chosen = source.installed_package() if source_path is None else source.folder(source_path)
    loaded = WordLlamaEmbedder.load()
    with _own_server(data_dir) if not use_database_url else _environment() as settings:
        asyncio.run(_demonstrate(settings, chosen, loaded))


def search(text: Words, limit: Limit = 5, data_dir: DataDir = DATA_DIR) -> None:
    """Search passages and findings: by vector and words where the embeddings are the demo's, by
    words where not.

    It looks in the database that the environment names, or else in the demo's, or else in the one
    that `db up` started.
    """
    if not text.strip():
        raise ConfigurationError("there is nothing to look for in a blank text")
    with _searched(data_dir) as database:
        asyncio.run(_search(database, text, limit))


@contextmanager
def _own_server(data_dir: Path) -> Iterator[Settings]:
    folder = data_dir / places.DEMO
    note(f"starting {places.embedded_in(folder)}")
    with EmbeddedServer.start(folder) as server:
        yield Settings(url=server.url, **EMBEDDING)


@contextmanager
def _environment() -> Iterator[Settings]:
    if places.named_in_environment() is None:
        raise ConfigurationError("the environment names no database: set DATABASE_URL")
    yield Settings.from_env(**EMBEDDING)


@contextmanager
def _searched(data_dir: Path) -> Iterator[Database]:
    if places.named_in_environment() is None and (data_dir / places.DEMO).is_dir():
        with _own_server(data_dir) as settings:
            yield Database(settings, migrate=True)
    else:
        with places.reach(data_dir) as place:
            note(f"searching {place.kind}")
            yield Database(place.settings)


async def _demonstrate(
    settings: Settings, chosen: source.Source, loaded: WordLlamaEmbedder
) -> None:
    async with Database(settings, migrate=True) as database:
        await Demo(database=database, embedder=loaded, source=chosen, console=results()).run()


async def _search(searched: Database, text: str, limit: int) -> None:
    console = results()
    async with searched as database:
        embedding = await _embedded(database, text)
        async with database.reader() as view:
            if embedding is None:
                passages = await view.knowledge.keyword_search(text, limit=limit, explain=True)
            else:
                passages = await view.knowledge.hybrid_search(text, embedding, limit=limit)
            findings = await view.findings.keyword_search(text, limit=limit, explain=True)
    how = Ask.PASSAGE_WORDS if embedding is None else Ask.PASSAGES
    console.print(hit_table("Passages", passages, exact=passages.exact, how=how))
    console.print(hit_table("Findings", findings, exact=findings.exact, how=Ask.FINDINGS))


async def _embedded(database: Database, text: str) -> VectorLike | None:
    """Return the embedding of the text.

    None, with a word about it, where it could not be compared with the stored ones.
    """
    if not embedder.is_installed():
        note(
            "searching by words alone: embeddings need the extra demo, pip install 'recollect[demo]'"
        )
        return None
    try:
        async with database.reader() as view:
            await view.embedding_metadata.check_compatible(
                provider=embedder.PROVIDER, model=embedder.MODEL, dimensions=embedder.DIMENSIONS
            )
    except EmbeddingMismatch as mismatch:
        note(f"searching by words alone: {mismatch}")
        return None
    return (await WordLlamaEmbedder.load().embed([text]))[0]
