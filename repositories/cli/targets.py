"""Which database a command speaks to.

The one that the environment names, or else the one that `recollect db up` started.
"""

from __future__ import annotations

import os
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Final

import typer
from pydantic import SecretStr

import repositories
from domain import ConfigurationError
from repositories.cli import compose
from repositories.embedded import EmbeddedServer
from repositories.postgres.connect import connect_with_retry
from repositories.postgres.engine import create_engine
from repositories.postgres.settings import Settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from sqlalchemy.ext.asyncio import AsyncEngine

DATA_DIR: Final = Path(".data")
POSTGRES: Final = "postgres"
"""The folder of the embedded server that `recollect db up` starts."""

DEMO: Final = "demo"
"""The folder of the demo's own server: its embeddings have another dimension than most."""

# Port and password alone are the compose file's as well, and say nothing about where a database is.
NAMES_A_DATABASE: Final = ("DATABASE_URL", "RECOLLECT_HOST", "RECOLLECT_DATABASE", "RECOLLECT_USER")
CONNECT_DEADLINE: Final = timedelta(seconds=10)

IN_DOCKER: Final = "PostgreSQL in Docker"

DataDir = Annotated[
    Path, typer.Option("--data-dir", help="Folder of the embedded servers.", show_default=True)
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A database that answers or should: `kind` says in words where it comes from."""

    kind: str
    settings: Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Started(Place):
    """A database of ours; `url` is what others need to reach it."""

    url: SecretStr

    @classmethod
    def at(cls, url: SecretStr, kind: str) -> Started:
        """Return the place of this URL, with all other settings from the environment."""
        return cls(kind=kind, settings=at(url), url=url)


def named_in_environment() -> str | None:
    """Return the name of a variable that says where a database is, or None."""
    return next((name for name in NAMES_A_DATABASE if os.environ.get(name)), None)


def embedded_in(folder: Path) -> str:
    """Return the words for the embedded server of a folder."""
    return f"the embedded server in {folder}"


def compose_file() -> Path | None:
    """Return the compose file of the checkout that this package runs from.

    None where it is installed without one.
    """
    found = Path(repositories.__file__).parents[1] / "docker-compose.yml"
    return found if found.is_file() else None


@contextmanager
def reach(data_dir: Path) -> Iterator[Place]:
    """Find the database, and use it until the end of the block.

    Raises:
        ConfigurationError: none is named and none runs, or the environment contradicts itself.
    """
    if (name := named_in_environment()) is not None:
        yield Place(kind=f"the database that {name} names", settings=_patient(Settings.from_env()))
        return
    with started(data_dir) as place:
        if place is None:
            raise ConfigurationError(
                "no database runs: start one with `recollect db up`, or set DATABASE_URL"
            )
        yield place


@contextmanager
def started(data_dir: Path) -> Iterator[Started | None]:
    """Find the database that `recollect db up` started, and use it until the end of the block.

    None where none runs.
    """
    file = compose_file()
    if file is not None and compose.runs(file):
        yield Started.at(compose.url(), IN_DOCKER)
        return
    server = EmbeddedServer.find(data_dir / POSTGRES)
    if server is None:
        yield None
        return
    with server:
        yield Started.at(server.url, embedded_in(data_dir / POSTGRES))


@contextmanager
def temporary() -> Iterator[Settings]:
    """Start an embedded server with an empty database, and stop and delete it at the end of the block."""
    fast = {"fsync": "off"}  # what it holds is deleted anyway
    with (
        TemporaryDirectory(prefix="recollect-") as folder,
        EmbeddedServer.start(Path(folder) / POSTGRES, settings=fast) as server,
    ):
        yield at(server.url)


@asynccontextmanager
async def connected(settings: Settings) -> AsyncIterator[AsyncEngine]:
    """Lend an engine that is connected, whatever revision the database is at.

    Raises:
        DatabaseUnavailable, AccessDenied: as `Database` does.
    """
    engine = create_engine(settings)
    try:
        await connect_with_retry(engine, settings)
        yield engine
    finally:
        await engine.dispose()


def at(url: SecretStr) -> Settings:
    """Return the settings for a URL, the others from the environment."""
    return _patient(Settings(url=url))


def _patient(settings: Settings) -> Settings:
    # Somebody is waiting at the keyboard.
    if "connect_deadline" in settings.model_fields_set:
        return settings
    return settings.model_copy(update={"connect_deadline": CONNECT_DEADLINE})
